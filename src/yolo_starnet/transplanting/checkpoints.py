"""Students as checkpoints: one that a training begins with or resumes from, and the one that users get."""

from __future__ import annotations

import io
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import ultralytics

from .. import files
from .adapter import fold


def begin(student: Any, trained: Path, task: str, out: Path, file: Path) -> None:
    """Write a student with its adapters, and what its training has to know.

    Args:
        student: The student.
        trained: The checkpoint of the trained model.
        task: Its task.
        out: The checkpoint to write in the end.
        file: The checkpoint to write now.
    """
    student.transplant = {"trained": str(trained.resolve()), "task": task, "out": str(out.resolve())}
    _save(student, {"task": task}, file)


def write(student: Any) -> None:
    """Write a student without its adapters, to be used as any checkpoint."""
    student = deepcopy(student)
    described = vars(student).pop("transplant")
    fold(student)
    for parameter in student.parameters():
        parameter.requires_grad_(False)  # as Ultralytics leaves a finished checkpoint
    arguments = ultralytics.YOLO(described["trained"]).ckpt.get("train_args", {})
    _save(student.half(), arguments, Path(described["out"]))


def _save(model: Any, arguments: dict[str, Any], file: Path) -> None:
    """Write a checkpoint in the form of Ultralytics."""
    checkpoint = {"epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": arguments}
    content = io.BytesIO()
    torch.save({**checkpoint, "version": ultralytics.__version__}, content)
    with files.explained(file):
        files.write(file, content.getvalue())
