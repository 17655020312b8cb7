"""What a model dict comes to on the installed Ultralytics: strides, parameters, GFLOPs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
import ultralytics
import yaml
from ultralytics.nn import tasks
from ultralytics.utils import LOGGER

SIZE = 128
"""Height and width in pixels of the image that strides are measured on: up to P6/64, 2 x 2 cells are left."""


def strides(model: Mapping[str, Any]) -> list[int | None]:
    """The stride in pixels of each row under `backbone:`, None where its output is no feature map.

    Args:
        model: A model dict of stock rows.
    """
    rows = deepcopy({**model, "head": []})
    if len(rows["backbone"]) < 3:
        return [None] * len(rows["backbone"])  # a whole network in a row, which building might download
    rows.setdefault("scale", next(iter(rows.get("scales") or ()), ""))
    found: list[int | None] = []
    outputs: list[Any] = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        layers, _ = tasks.parse_model(rows, 3, verbose=False)
        x: Any = torch.zeros(1, 3, SIZE, SIZE)
        for layer in layers.eval():
            if layer.f != -1:
                x = outputs[layer.f] if isinstance(layer.f, int) else [x if j == -1 else outputs[j] for j in layer.f]
            x = layer(x)
            outputs.append(x)
            whole = isinstance(x, torch.Tensor) and x.ndim == 4 and SIZE % x.shape[-1] == 0
            found.append(SIZE // x.shape[-1] if whole else None)
    return found


class Figures(NamedTuple):
    """What `YOLO(...).info()` counts: layers, parameters, those with gradients, GFLOPs at 640 pixels or as asked."""

    layers: int
    parameters: int
    gradients: int
    gflops: float

    def __str__(self) -> str:
        """In the words of the stock YAMLs."""
        counts = f"{self.layers} layers, {self.parameters:,} parameters, {self.gradients:,} gradients"
        return f"summary: {counts}, {self.gflops:.1f} GFLOPs"


def figures(file: str | Path, kind: str = "YOLO") -> Figures:
    """Build a model, as `YOLO(file)`, or another class of Ultralytics' that `kind` names, does, and count."""
    level = LOGGER.level
    LOGGER.setLevel(logging.ERROR)
    try:
        with torch.random.fork_rng(devices=[]):
            # Looked up only now: this module may be imported while Ultralytics itself is, before it has these.
            return count(getattr(ultralytics, kind)(file).model)
    finally:
        LOGGER.setLevel(level)


def count(model: Any, imgsz: int = 640) -> Figures:
    """The figures of a model of Ultralytics' for one image of `imgsz` x `imgsz` pixels."""
    return Figures(*model.info(imgsz=imgsz))


def figures_by_scale(model: Mapping[str, Any], name: str) -> dict[str, Figures]:
    """The figures of a model dict at each of its scales; the key is '' where it has none.

    Args:
        model: A model dict.
        name: A file name without a scale, since Ultralytics tells some kinds of models by their names.
    """
    found = {}
    kind = "RTDETR" if model["head"][-1][2] == "RTDETRDecoder" else "YOLO"
    for scale, constants in (model.get("scales") or {"": None}).items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, name)
            only = {**model, **({"scales": {scale: constants}} if scale else {})}
            file.write_text(yaml.safe_dump(only), encoding="utf-8")
            found[scale] = figures(file, kind)
    return found
