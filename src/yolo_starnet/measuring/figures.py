"""What a model costs on the installed Ultralytics: layers, parameters, GFLOPs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import ultralytics
import yaml

from .quiet import quiet


class Figures(NamedTuple):
    """The figures that `YOLO(...).info()` counts.

    Attributes:
        layers: Number of modules.
        parameters: Number of parameters.
        gradients: Number of parameters that training changes.
        gflops: 10^9 floating-point operations for one image.
    """

    layers: int
    parameters: int
    gradients: int
    gflops: float

    def __str__(self) -> str:
        """The figures as the comments of the stock YAMLs word them."""
        counts = f"{self.layers} layers, {self.parameters:,} parameters, {self.gradients:,} gradients"
        return f"summary: {counts}, {self.gflops:.1f} GFLOPs"


def of_model(model: Any, imgsz: int = 640) -> Figures:
    """Count the figures of a model of Ultralytics, for one image of `imgsz` x `imgsz` pixels."""
    return Figures(*model.info(imgsz=imgsz))


def of_file(file: str | Path, kind: str = "YOLO") -> Figures:
    """Build a model from a file and count its figures at 640 x 640 pixels.

    Args:
        file: A YAML or a checkpoint.
        kind: The class of Ultralytics that builds it, `YOLO` or `RTDETR`.
    """
    with quiet(), torch.random.fork_rng(devices=[]):
        # Looked up late: this module may be imported while the import of Ultralytics is not complete.
        return of_model(getattr(ultralytics, kind)(file).model)


def by_scale(model: Mapping[str, Any], name: str) -> dict[str, Figures]:
    """Count the figures of a model at each of its scales.

    Args:
        model: A model dict.
        name: A file name without a scale. Ultralytics recognises some kinds of models by their file names.

    Returns:
        Scale to figures. The key is '' for a model without scales.
    """
    figures = {}
    kind = "RTDETR" if model["head"][-1][2] == "RTDETRDecoder" else "YOLO"
    for scale, constants in (model.get("scales") or {"": None}).items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, name)
            at_scale = {**model, **({"scales": {scale: constants}} if scale else {})}
            file.write_text(yaml.safe_dump(at_scale), encoding="utf-8")
            figures[scale] = of_file(file, kind)
    return figures
