"""Which layers of an ONNX file lose the most in INT8: the signal-to-noise ratio of every quantized tensor.

    python benchmarks/int8_layers.py best.onnx best_int8.onnx images/val --imgsz 256

Both files come from Ultralytics' `export`, the second with `quantize=8`. *Own* compares a tensor with its own rounding
to 8 bits; *sum* compares it with that of the float file, so it holds the errors of all layers before.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
from onnxruntime.quantization import CalibrationDataReader, qdq_loss_debug

from markdown_table import table


class Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The first images of a folder, as the network takes them."""

    def __init__(self, folder: Path, count: int, size: int) -> None:
        self.images: Iterator[Any] = (self.read(f, size) for f in sorted(folder.iterdir())[:count])

    def get_next(self) -> dict[str, Any] | None:
        """One image, by the name of the input."""
        return next(self.images, None)

    @staticmethod
    def read(file: Path, size: int) -> dict[str, Any]:
        """An image as 1 x 3 x size x size, RGB from 0 to 1."""
        image: Any = cv2.imread(str(file))
        return {"images": cv2.dnn.blobFromImage(image, 1 / 255, (size, size), swapRB=True)}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the layers, the worst first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs=2, type=Path, metavar=("FLOAT", "INT8"))
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--lines", type=int, default=15)
    given = parser.parse_args(argv)
    values = [tensors(file, Images(given.images, given.count, given.imgsz)) for file in given.files]
    matched = qdq_loss_debug.create_activation_matching(values[1], values[0])
    errors = qdq_loss_debug.compute_activation_error(matched)
    worst = sorted(errors.items(), key=lambda item: item[1]["xmodel_err"])[: given.lines]
    rows = [[name, f"{e['qdq_err']:.1f}", f"{e['xmodel_err']:.1f}"] for name, e in worst]
    print("\n".join(table(["tensor", "own, dB", "sum, dB"], rows)))


def tensors(file: Path, images: Images) -> Any:
    """Every intermediate tensor of a file for every image."""
    with tempfile.TemporaryDirectory() as folder:
        whole = str(Path(folder) / "whole.onnx")
        qdq_loss_debug.modify_model_output_intermediate_tensors(str(file), whole)
        return qdq_loss_debug.collect_activations(whole, images)


if __name__ == "__main__":
    main()
