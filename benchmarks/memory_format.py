"""Train the demo in PyTorch's plain memory format and in channels-last, in pairs of one seed, and compare them.

    python benchmarks/memory_format.py --seeds 0,1,2,3,4,5,6,7

The trainings of a pair run at the same time, one thread each. What has run is not run again. The results go to
benchmarks/results/memory_format.csv and .md.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import ultralytics
from ultralytics import YOLO

import yolo_starnet
from accuracy_report import read
from accuracy_runs import read_curve
from markdown_table import table
from yolo_starnet.demo import datasets
from yolo_starnet.tasks import TASKS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "memory_format.csv"
FIELDS = ("seed", "format", "map50", "map", "ultralytics", "torch")
FORMATS = {"plain": torch.contiguous_format, "channels-last": torch.channels_last}
HEAD = """# Training on a CPU in channels-last

Written by `benchmarks/memory_format.py`: the training of `yolo-starnet train`, in pairs that differ in the memory
format of weights and feature maps only. Values are those of the best epoch.
"""


def train(seed: int, name: str) -> dict[str, str]:
    """Train the demo's model by the demo's recipe.

    Args:
        seed: The seed of the training.
        name: A key of `FORMATS`.

    Returns:
        A row of the CSV.
    """
    yolo: Any = YOLO(TASKS["detect"].model)
    memory_format = FORMATS[name]

    def arrange(trainer: Any) -> None:
        torch.set_num_threads(1)
        trainer.model.to(memory_format=memory_format)
        norms = [module for module in trainer.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        norms[0].register_forward_pre_hook(check)

    def check(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if not inputs[0].is_contiguous(memory_format=memory_format):
            raise RuntimeError(f"a BatchNorm gets a map that is not {name}")

    yolo.add_callback("on_train_start", arrange)
    place = {"project": str(ROOT / "build" / "memory_format"), "name": f"{name}-{seed}", "exist_ok": True}
    recipe = {**datasets.SETS["detect"].recipe, "workers": 0, "plots": False}
    yolo.train(data=TASKS["detect"].data, seed=seed, **recipe, **place)
    map50, best = max(read_curve(Path(yolo.trainer.save_dir)), key=lambda values: values[1])
    maps = {"map50": str(map50), "map": str(best)}
    versions = {"ultralytics": ultralytics.__version__, "torch": torch.__version__}
    return {"seed": str(seed), "format": name, **maps, **versions}


def add(row: dict[str, str]) -> None:
    """Append a row to the CSV, so that two processes can do so at once."""
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, FIELDS, lineterminator="\n").writerow(row)


def report(rows: Sequence[dict[str, str]]) -> str:
    """The pairs as Markdown, with the mean of their differences and its standard error."""
    values = {(int(row["seed"]), row["format"]): float(row["map"]) for row in rows}
    seeds = [seed for seed in sorted({seed for seed, _ in values}) if all((seed, name) in values for name in FORMATS)]
    pairs = {seed: [values[seed, name] for name in FORMATS] for seed in seeds}
    lines = table(
        ["seed", *FORMATS, "difference"],
        [[str(seed), f"{plain:.3f}", f"{last:.3f}", f"{last - plain:+.3f}"] for seed, (plain, last) in pairs.items()],
    )
    differences = [last - plain for plain, last in pairs.values()]
    if len(differences) > 1:
        error = statistics.stdev(differences) / len(differences) ** 0.5
        worse = sum(difference < 0 for difference in differences)
        lines += [
            "",
            f"Mean of the differences in mAP50-95: {statistics.mean(differences):+.3f}, with a standard error of "
            f"{error:.3f}. Channels-last is behind in {worse} of {len(differences)} pairs.",
        ]
    return "\n".join([HEAD, *lines, ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0", help="seeds, separated by commas")
    parser.add_argument("--format", choices=FORMATS, help="train in this format only, in this process")
    options = parser.parse_args(argv)
    yolo_starnet.activate()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    if not RESULTS.is_file():
        RESULTS.write_text(",".join(FIELDS) + "\n", encoding="utf-8")
    done = {(int(row["seed"]), row["format"]) for row in read(RESULTS)}
    for seed in seeds:
        missing = [name for name in FORMATS if (seed, name) not in done]
        if options.format in missing:
            add(train(seed, options.format))
        elif not options.format:
            command = [sys.executable, __file__, "--seeds", str(seed), "--format"]
            running = [subprocess.Popen([*command, name]) for name in missing]
            if sum(process.wait() != 0 for process in running):
                return 1
    if not options.format:
        RESULTS.with_suffix(".md").write_text(report(read(RESULTS)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
