"""Where ONNX Runtime spends the time of exported files: milliseconds by kind of operator, by shape, and by part.

    python benchmarks/onnx_profile.py yolo11n.onnx yolo11n-starnet_fit.onnx --threads 2

The files run in turn. Of each operator, the least time over the runs counts, from ONNX Runtime's own profile, so that
background load matters little. A whole run takes longer than their sum.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from markdown_table import table


class Profiled:
    """A session whose profile is read by the attributes of its convolutions."""

    def __init__(self, file: Path, threads: int, size: int, folder: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.enable_profiling = threads, True
        options.profile_file_prefix = str(Path(folder) / file.stem)
        options.optimized_model_filepath = str(Path(folder) / f"{file.stem}-optimized.onnx")
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.inputs = {
            self.session.get_inputs()[0].name: np.random.default_rng(0).random((1, 3, size, size), np.float32)
        }
        graph = onnx.load(options.optimized_model_filepath, load_external_data=False).graph
        self.attributes = {
            n.name: {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in graph.node
        }

    def run(self) -> None:
        """Run the network once."""
        self.session.run(None, self.inputs)

    def milliseconds(self, runs: int, key: Callable[[str, str, str], str]) -> dict[str, float]:
        """The summed time of all operators with one `key(kind, shape, name)`, the least of each over the runs."""
        if not hasattr(self, "events"):
            events = json.loads(Path(self.session.end_profiling()).read_text())
            self.events = [e for e in events if e["cat"] == "Node" and e["name"].endswith("_kernel_time")]
        total: dict[str, float] = defaultdict(float)
        each = len(self.events) // runs
        for i, event in enumerate(self.events[:each]):  # every run has the same operators in the same order
            least = min(e["dur"] for e in self.events[i::each]) / 1000
            total[key(self.kind(event), shape(event), event["name"])] += least
        return total

    def kind(self, event: Mapping[str, Any]) -> str:
        """An operator's name; for a convolution, its kernel, and whether it is depthwise."""
        name = str(event["args"]["op_name"])
        about = self.attributes.get(event["name"].removesuffix("_kernel_time"), {})
        kernel = about.get("kernel_shape")
        return f"{name} {kernel[0]} x {kernel[0]}{' depthwise' * (about.get('group', 1) > 1)}" if kernel else name


def shape(event: Mapping[str, Any]) -> str:
    """The shape of an operator's first output."""
    (first, *_) = event["args"].get("output_type_shape") or [{"": []}]
    return " x ".join(map(str, next(iter(first.values()))))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--runs", type=int, default=30)
    given = parser.parse_args(argv)
    runs = given.runs
    with tempfile.TemporaryDirectory() as folder:
        profiled = [Profiled(file, given.threads, given.imgsz, folder) for file in given.files]
        for _ in range(runs):
            for file in profiled:
                file.run()
        keys: dict[str, Callable[[str, str, str], str]] = {
            "operator": lambda kind, *_: kind,
            "row of the model": lambda _, __, name: next(iter(name.strip("/").split("/")), "")[:12],
            "operator and output": lambda kind, output, _: f"{kind}, {output}",
        }
        for title, key in keys.items():
            times = [p.milliseconds(runs, key) for p in profiled]
            names = sorted({n for t in times for n in t}, key=lambda n: -max(t.get(n, 0) for t in times))[:25]
            rows = [[name, *(f"{t.get(name, 0):.2f}" for t in times)] for name in names]
            total = ["all", *(f"{sum(t.values()):.2f}" for t in times)]
            print("\n".join(table([title, *(f"{f.stem}, ms" for f in given.files)], [total, *rows])), end="\n\n")


if __name__ == "__main__":
    main()
