"""Export trained detectors to INT8, and compare mAP50-95, size and time with those of the float file of each runtime.

    python benchmarks/int8.py --data bccd.yaml --models yolo11n=runs/a/best.pt yolo11n-starnet_fit=runs/b/best.pt
    python benchmarks/int8.py --data bccd.yaml --models yolo11n=runs/a/best.pt --runtimes rknn --images 50
    python benchmarks/int8.py --report     # only write the tables again

Everything is stock: `export` quantizes, with training images, and `val` measures. RKNN runs in the simulator of
rknn-toolkit2. Ultralytics exports no INT8 for NCNN, so NCNN's own tools quantize its float file: `ncnn2table` and
`ncnn2int8`, built from NCNN's source, must be on the PATH. A runtime that is not installed is left out, so one whose
packages conflict with others can run in an environment of its own; the CSV collects the results of all.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Sequence
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from ultralytics import YOLO
from ultralytics.data.augment import LetterBox
from ultralytics.data.utils import check_det_dataset
from ultralytics.nn.autobackend import AutoBackend

import int8_report
from int8_report import CSV, FIELDS
from yolo_starnet.measuring.timing import interleave

BUILD = Path(__file__).parents[1] / "build" / "int8"
MODULES = {
    "onnx": "onnxruntime",
    "openvino": "nncf",
    "ncnn": "ncnn",
    "mnn": "MNN",
    "litert": "litert_torch",
    "rknn": "rknn",
}
PACKAGES = {
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "mnn": "MNN",
    "litert": "ai-edge-litert",
    "rknn": "rknn-toolkit2",
}
ROUNDS = 30
"""Timed runs of each file. The simulator of RKNN is not timed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the command line selects and write the tables; 1 where an export or a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the YAML of a data set")
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME=CHECKPOINT")
    parser.add_argument("--runtimes", nargs="+", default=[*MODULES], choices=MODULES)
    parser.add_argument("--images", type=int, default=100, help="training images for the calibration")
    parser.add_argument("--imgsz", type=int, default=256)
    parser.add_argument("--report", action="store_true", help="only write the tables")
    given = parser.parse_args(argv)
    failed = 0
    for runtime in given.runtimes if given.data else ():
        if not util.find_spec(MODULES[runtime]):
            print(f"left out {runtime}: {MODULES[runtime]} is not installed")
            continue
        for name, _, checkpoint in (model.partition("=") for model in given.models):
            case = {"data": given.data.stem, "model": name, "runtime": runtime}
            try:
                result = measure(case, Path(checkpoint), given.data, given.images, given.imgsz)
            except Exception as error:  # an exporter or a runtime may raise anything; the others go on
                result = {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:200]}
                failed = 1
            keep({**case, **result})
    int8_report.write()
    return failed


def measure(case: dict[str, str], checkpoint: Path, data: Path, images: int, size: int) -> dict[str, Any]:
    """The figures of one model in one runtime, in float and in INT8."""
    files, maps, runtime = [], [], case["runtime"]
    if runtime == "rknn":
        simulate_rknn()
    if runtime == "openvino":
        compute_in_float32()
    for quantize in (None, 8):
        folder = BUILD / "-".join(case.values()) / ("int8" if quantize else "float")
        folder.mkdir(parents=True, exist_ok=True)
        calibration, fraction = calibration_yaml(data, images)
        given: dict[str, Any] = {}
        if quantize and runtime != "ncnn":
            given = {"quantize": 8}
            if runtime != "mnn":  # which quantizes weights only, and needs no images
                given |= {"data": str(calibration), "fraction": fraction}
        files.append(YOLO(shutil.copy(checkpoint, folder / "best.pt")).export(format=runtime, imgsz=size, **given))
        if quantize and runtime == "ncnn":
            quantize_ncnn(Path(files[-1]), training_images(data)[:images], size)
        yolo = YOLO(files[-1], task="detect")
        found = yolo.val(data=str(data), imgsz=size, batch=1, rect=False, workers=0, plots=False, device="cpu")
        maps.append(found.box.map)
    return {
        "float": round(float(maps[0]), 4),
        "int8": round(float(maps[1]), 4),
        "float_mb": round(megabytes(Path(files[0])), 2),
        "int8_mb": round(megabytes(Path(files[1])), 2),
        "ms_ratio": "" if runtime == "rknn" else round(time_ratio(files, size), 3),
        "images": "" if runtime == "mnn" else images,
        "version": metadata.version(PACKAGES[runtime]),
    }


def calibration_yaml(data: Path, images: int) -> tuple[Path, float]:
    """A data set whose validation images are the training images, as `export` calibrates on those; and their share."""
    known = check_det_dataset(str(data))
    file = BUILD / f"{data.stem}-calibration.yaml"
    file.write_text(yaml.safe_dump({"train": known["train"], "val": known["train"], "names": known["names"]}))
    return file, min(images / len(training_images(data)), 1.0)


def training_images(data: Path) -> list[Path]:
    """The training images of a data set, by name."""
    folder = Path(check_det_dataset(str(data))["train"])
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in {".jpg", ".jpeg", ".png"})


def time_ratio(files: Sequence[str], size: int) -> float:
    """Milliseconds of the second file relative to the first: the median over interleaved runs of the network alone."""
    image = torch.rand(1, 3, size, size)
    loaded = {file: AutoBackend(file, device=torch.device("cpu")) for file in files}

    def clock(network: Any) -> float:
        start = time.perf_counter()
        network(image.permute(0, 2, 3, 1) if network.nhwc else image)
        return time.perf_counter() - start

    runs: dict[str, Any] = {file: partial(clock, network) for file, network in loaded.items()}
    times = interleave(runs, ROUNDS)
    first, second = (np.array(t) for t in times.values())
    return float(np.median(second / first))


def quantize_ncnn(model: Path, images: Sequence[Path], size: int) -> None:
    """Quantize an exported NCNN model in place, calibrated on `images`."""
    letterbox, arrays = LetterBox((size, size), auto=False), model.parent / "calibration"
    arrays.mkdir(exist_ok=True)
    listed = [str((arrays / f"{f.stem}.npy").resolve()) for f in images]
    for image, array in zip(images, listed, strict=True):
        pixels = np.asarray(letterbox(image=cv2.imread(str(image))))[..., ::-1].transpose(2, 0, 1)
        np.save(array, np.ascontiguousarray(pixels, dtype=np.float32) / 255)
    (arrays / "list.txt").write_text("\n".join(listed) + "\n")
    param, weights, scales = model / "model.ncnn.param", model / "model.ncnn.bin", arrays / "scales.table"
    options = [f"shape=[{size},{size},3]", "thread=1", "method=aciq", "type=1"]
    subprocess.run(["ncnn2table", param, weights, arrays / "list.txt", scales, *options], check=True)
    quantized = arrays / "int8.param", arrays / "int8.bin"
    subprocess.run(["ncnn2int8", param, weights, *quantized, scales], check=True)
    for new, old in zip(quantized, (param, weights), strict=True):
        shutil.move(new, old)


def compute_in_float32() -> None:
    """Make OpenVINO compute float layers in float32, also on CPUs with bfloat16."""
    import openvino

    compile_model = openvino.Core.compile_model
    if compile_model.__name__ == "with_hint":
        return

    def with_hint(self: Any, model: Any, device_name: str | None = None, config: dict[str, Any] | None = None) -> Any:
        return compile_model(self, model, device_name, {**(config or {}), "INFERENCE_PRECISION_HINT": "f32"})

    openvino.Core.compile_model = with_hint


def simulate_rknn() -> None:
    """Give Ultralytics' RKNN backend, which is for Rockchip's boards, the toolkit's simulator to run on."""
    from rknn.api import RKNN
    from ultralytics.nn.backends import rknn as backend

    class Simulator:
        """RKNNLite on what this process has built last; the simulator cannot load a file."""

        def load_rknn(self, file: str) -> int:
            self.network = RKNN.last
            return 0

        def init_runtime(self) -> int:
            return int(self.network.init_runtime())

        def inference(self, inputs: list[np.ndarray]) -> Any:
            return self.network.inference(inputs=inputs, data_format=["nhwc"])

    export_rknn = RKNN.export_rknn

    def keep_built(network: Any, *args: Any, **kwargs: Any) -> Any:
        RKNN.last = network
        return export_rknn(network, *args, **kwargs)

    if not hasattr(RKNN, "last"):  # replaced once
        RKNN.last, RKNN.export_rknn = None, keep_built
    module = types.ModuleType("rknnlite.api")
    module.RKNNLite = Simulator  # type: ignore[attr-defined]  # a module made here
    sys.modules.update({"rknnlite": types.ModuleType("rknnlite"), "rknnlite.api": module})
    backend.is_rockchip = lambda: True
    backend.check_requirements = lambda *args, **kwargs: True


def keep(row: dict[str, Any]) -> None:
    """Put a row into the CSV in place of an older one of the same case."""
    rows = {tuple(r[f] for f in FIELDS[:3]): r for r in int8_report.read()}
    rows[tuple(str(row[f]) for f in FIELDS[:3])] = row
    CSV.parent.mkdir(exist_ok=True)
    with open(CSV, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows))
    print(row, flush=True)


def megabytes(file: Path) -> float:
    """The size of a file, or of all files in a folder."""
    return sum(f.stat().st_size for f in (file.rglob("*") if file.is_dir() else [file]) if f.is_file()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
