"""Memory and boxes of exported detectors under load: many images, several sessions, batches, shapes and precisions.

    python benchmarks/serving.py best.pt image.jpg --images 2000 --imgsz 256

For ONNX Runtime, OpenVINO and NCNN, as far as they are installed, it prints the growth of the resident memory after
the first 100 images. For each way to serve a model, it prints the largest difference from the boxes of PyTorch.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from ultralytics import YOLO

from int8 import compute_in_float32
from markdown_table import table

MODULES = {"onnx": "onnxruntime", "openvino": "openvino", "ncnn": "pnnx"}
SETTLED = 100
"""Images before the memory counts, in which allocators grow to their size."""
MOST_GROWTH = 5e6
PIXELS, CONFIDENCE = 1.0, 0.01
"""The largest differences that count as agreement; four times those for half precision."""
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "one image": ("onnx", {}),
    "batch=4": ("onnx", {"batch": 4}),
    "dynamic=True, three shapes": ("onnx", {"dynamic": True}),
    "nms=True": ("onnx", {"nms": True}),
    "quantize=16": ("onnx", {"quantize": 16}),
    "two sessions in two threads": ("onnx", {}),
    "OpenVINO, two sessions in two threads": ("openvino", {}),
    "NCNN, two sessions in two threads": ("ncnn", {}),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables; 1 where memory grows or boxes differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--imgsz", type=int, default=640)
    given = parser.parse_args(argv)
    here = {name for name, module in MODULES.items() if util.find_spec(module)}
    photograph = cv2.imread(str(given.image))
    with tempfile.TemporaryDirectory() as folder:
        server = Server(given.model, Path(folder), photograph, given.imgsz)
        growth = {name: server.growth(name, given.images) for name in MODULES if name in here}
        boxes = {way: server.difference(way) for way, (runtime, _) in WAYS.items() if runtime in here}
    grown = [[name, f"{mb:+.1f}", _mark(1e6 * mb < MOST_GROWTH)] for name, mb in growth.items()]
    print("\n".join(table(["runtime", f"MB after {given.images} images", "flat"], grown)), end="\n\n")
    rows = [[way, f"{n}", f"{px:.2g} px, {conf:.2g}", _mark(same)] for way, (n, px, conf, same) in boxes.items()]
    print("\n".join(table(["way", "boxes", "largest difference", "agrees"], rows)))
    return 0 if all("✓" in row for row in [*grown, *rows]) else 1


def _mark(right: bool) -> str:
    return "✓" if right else "✗"


class Server:
    """Exports a checkpoint in many ways and runs the files."""

    def __init__(self, model: Path, folder: Path, image: Any, size: int) -> None:
        self.folder, self.image, self.size = folder, image, size
        self.checkpoint = Path(shutil.copy(model, folder / "original.pt"))

    def load(self, way: str) -> YOLO:
        """The file of an export of its own, loaded."""
        runtime, arguments = WAYS.get(way, (way, {}))
        if runtime == "openvino":
            compute_in_float32()
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        inside = {"conf": 0.25} if "nms" in arguments else {}
        file = shutil.copy(self.checkpoint, folder / "best.pt")
        return YOLO(YOLO(file).export(format=runtime, imgsz=self.size, **arguments, **inside), task="detect")

    def growth(self, runtime: str, images: int) -> float:
        """The growth of the resident memory from image 100 on, in MB."""
        yolo, process = self.load(runtime), psutil.Process()
        for i in range(images):
            self.predict(yolo, [np.roll(self.image, i, 1)])
            if i == SETTLED:
                before = process.memory_info().rss
        return float(process.memory_info().rss - before) / 1e6

    def difference(self, way: str) -> tuple[int, float, float, bool]:
        """The boxes found, their largest difference from PyTorch's in pixels and confidence, and whether they agree."""
        images, pytorch = self.images(way), YOLO(self.checkpoint)
        rect = "dynamic" in way  # a file of fixed size takes square images, so PyTorch gets them, too
        expected = [self.predict(pytorch, [image], rect)[0] for image in images]
        if "threads" in way:
            yolos = [self.load(way) for _ in range(2)]
            with ThreadPoolExecutor(2) as pool:
                runs = pool.map(lambda yolo: [self.predict(yolo, [image])[0] for image in images], yolos)
            found, expected = [r for run in runs for r in run], 2 * expected
        elif "batch" in way:
            found = self.predict(self.load(way), images)
        else:
            yolo = self.load(way)
            found = [self.predict(yolo, [image], rect)[0] for image in images]
        pairs = [_differ(a, b) for a, b in zip(expected, found)]
        px, conf = (max(values) for values in zip(*pairs))
        times = 4 if "16" in way else 1
        return sum(map(len, found)), px, conf, px <= times * PIXELS and conf <= times * CONFIDENCE

    def images(self, way: str) -> list[Any]:
        """Four images of one shape, or of three where the file takes any."""
        rolled = [np.roll(self.image, 40 * i, 1) for i in range(4)]
        return [x[: x.shape[0] // (i % 3 + 1)] for i, x in enumerate(rolled)] if "dynamic" in way else rolled

    def predict(self, yolo: YOLO, images: list[Any], rect: bool = False) -> list[Any]:
        """The boxes of each image as rows x1, y1, x2, y2, confidence, class."""
        results: Any = yolo.predict(images, imgsz=self.size, rect=rect, verbose=False, device="cpu", batch=len(images))
        return [r.boxes.data.cpu().numpy() for r in results]


def _differ(a: Any, b: Any) -> tuple[float, float]:
    """The largest differences of corners and confidences from the nearest box, infinite for unequal numbers."""
    if len(a) != len(b) or not len(a):
        return (0.0, 0.0) if len(a) == len(b) else (float("inf"), float("inf"))
    apart = np.abs(a[:, None, :4] - b[None, :, :4]).max(-1) + 1e6 * (a[:, None, 5] != b[None, :, 5])
    return float(apart.min(1).max()), float(np.abs(a[:, 4] - b[apart.argmin(1), 4]).max())


if __name__ == "__main__":
    sys.exit(main())
