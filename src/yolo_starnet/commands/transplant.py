"""Puts a trained model on another backbone, and measures it beside the model that it came from."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ultralytics

from ..errors import ConfigError
from ..measuring.quiet import quiet
from ..transplanting import run, trainer
from . import compare

NUMBERS = ("epochs", "imgsz", "batch", "workers")
"""The arguments that are whole numbers."""
FLAGS = {"true": True, "false": False}
"""The words for a flag; any other word is the path of a file."""


def transplant(given: Mapping[str, str]) -> tuple[Path, compare.Comparison]:
    """Carry out the command.

    Args:
        given: The arguments of `run.transplant`, or `resume`.

    Returns:
        The new checkpoint, and a comparison of the trained model, of the new one before its training, and of the new
        one after it.

    Raises:
        ConfigError: An argument is missing, no number, or stands beside `resume`.
    """
    settings: dict[str, Any] = {key: _number(key, value) if key in NUMBERS else value for key, value in given.items()}
    if "pretrained" in settings:
        settings["pretrained"] = FLAGS.get(given["pretrained"].lower(), given["pretrained"])
    if "resume" in given:
        if "model" in given:
            raise ConfigError("resume= continues a transplant, whose model is known; leave out model=")
        new = run.resume(settings.pop("resume"), **settings)
        return new, compare.compare([str(new)])
    if "model" not in given:
        raise ConfigError("'transplant' needs model=, a trained checkpoint. See yolo-starnet transplant --help")
    model, data = given["model"], given.get("data", "")
    new = run.transplant(**settings)
    yolo = ultralytics.YOLO(new)
    stride = compare.largest_stride(yolo.model)
    options = compare.Options(
        imgsz=math.ceil(settings.get("imgsz", yolo.overrides.get("imgsz", 640)) / stride) * stride,
        device=given.get("device"),
        data=data if _is_labelled(data, yolo) else "",
    )
    if not data:
        return new, compare.compare([model, str(new)], options)
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            start = {key: settings[key] for key in ("backbone", "pretrained") if key in settings}
            untrained = run.transplant(model, **start, out=Path(folder, "untrained.pt"))
        comparison = compare.compare([model, str(untrained), str(new)], options)
    rows = [
        row._replace(model="before its training" if row.model == str(untrained) else row.model)
        for row in comparison.rows
    ]
    return new, comparison._replace(rows=rows)


def _number(key: str, value: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise ConfigError(f"{key}= must be a whole number, found '{value}'")
    return int(value)


def _is_labelled(data: str, yolo: Any) -> bool:
    """Whether a data set has labels of as many classes as a model."""
    return bool(data) and len(trainer.images_of(data, yolo.task).get("names", ())) == len(yolo.names)
