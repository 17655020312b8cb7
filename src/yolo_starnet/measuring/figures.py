"""What a model costs on the installed Ultralytics: layers, parameters, GFLOPs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import ultralytics
import yaml
from ultralytics.utils import LOGGER


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


def of_file(file: str | Path, kind: str = "YOLO") -> Figures:
    """Build a model, as `YOLO(file)`, or another class of Ultralytics' that `kind` names, does, and count."""
    level = LOGGER.level
    LOGGER.setLevel(logging.ERROR)
    try:
        with torch.random.fork_rng(devices=[]):
            # Looked up only now: this module may be imported while Ultralytics itself is, before it has these.
            return of_model(getattr(ultralytics, kind)(file).model)
    finally:
        LOGGER.setLevel(level)


def of_model(model: Any, imgsz: int = 640) -> Figures:
    """The figures of a model of Ultralytics' for one image of `imgsz` x `imgsz` pixels."""
    return Figures(*model.info(imgsz=imgsz))


def by_scale(model: Mapping[str, Any], name: str) -> dict[str, Figures]:
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
            found[scale] = of_file(file, kind)
    return found
