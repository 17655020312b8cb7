"""Students as checkpoints: one that a training begins with or resumes from, and the one that users get."""

from __future__ import annotations

import io
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import ultralytics

from .. import files
from . import norms
from .adapter import fold


def describe(student: Any, trained: Any, out: Path) -> None:
    """Note in a student, as its attribute `transplant`, what its training and the end of it have to know.

    Args:
        student: The student.
        trained: The `YOLO` of the checkpoint that it came from.
        out: The checkpoint to write in the end.
    """
    student.transplant = {
        "trained": str(Path(trained.ckpt_path).resolve()),
        "task": trained.task,
        "arguments": trained.ckpt.get("train_args", {}),
        "out": str(out.resolve()),
    }


def begin(student: Any, file: Path) -> None:
    """Write a described student with its adapters, for its training."""
    _save(student, {"task": student.transplant["task"]}, file)


def write(student: Any, is_trained: bool = True) -> None:
    """Write a described student without its adapters, to be used as any checkpoint."""
    student = deepcopy(student).cpu()  # a GPU may round too roughly (TF32) to see that resizing changes nothing
    described = vars(student).pop("transplant")
    learned = norms.learned(student) if is_trained else []
    fold(student)
    norms.restore(student, learned)
    for parameter in student.parameters():
        parameter.requires_grad_(False)  # as Ultralytics leaves a finished checkpoint
    _save(student.half(), described["arguments"], Path(described["out"]))


def _save(model: Any, arguments: dict[str, Any], file: Path) -> None:
    """Write a checkpoint in the form of Ultralytics."""
    checkpoint = {"epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": arguments}
    content = io.BytesIO()
    torch.save({**checkpoint, "version": ultralytics.__version__}, content)
    with files.explained(file):
        files.write(file, content.getvalue())
