"""Argument handling only: the grammar of `yolo`, passed on whole, with the plugin active."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ultralytics import YOLO, cfg
from ultralytics.utils import LOGGER
from ultralytics.utils.callbacks.base import default_callbacks

from .commands import table
from .demo import datasets
from .errors import YOLOStarNetError

DEFAULT_MODEL = "yolo11n-starnet.yaml"
MODELS = {
    "detect": DEFAULT_MODEL,
    "segment": "yolo11n-starnet-seg.yaml",
    "pose": "yolo11n-starnet-pose.yaml",
    "obb": "yolo11n-starnet-obb.yaml",
    "classify": "yolo11n-starnet-cls.yaml",
    "semantic": "yolo26n-starnet-sem.yaml",
    "depth": "yolo26n-starnet-depth.yaml",
}
"""What is trained for each task where the user has not said."""
HELP = f"""
    yolo-starnet takes the arguments of 'yolo' and knows StarNet models by name:

        yolo-starnet train                                         # {DEFAULT_MODEL} on built-in data, offline
        yolo-starnet segment train                                 # so, too, pose, obb, classify, semantic, depth
        yolo-starnet train model={DEFAULT_MODEL} data=coco8.yaml
        yolo-starnet predict model=runs/detect/train/weights/best.pt source=image.jpg
        yolo-starnet models                                        # every backbone at every scale, with GFLOPs
        yolo-starnet graft model=yolo26n-seg.yaml backbone=starnet_s3   # a YAML to read and edit
        yolo-starnet enable                                        # plain 'yolo' knows them, too; undone by disable
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line of `yolo` in this process.

    Args:
        argv: The arguments after the program's name; those of this process unless given.

    Returns:
        The exit status: 1 after an error of this package, told in one line. Ultralytics' own errors are raised.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if args and args[0] in table.COMMANDS:
        return table.main(args[0], args[1:])
    given = _given(args)
    if not args or given.keys() & {"help", "h", "-help", "-h"}:
        LOGGER.info(HELP)
    before = sys.argv[:]
    try:
        added = _defaults(given)
        # Changed in place, since Ultralytics holds this very list. It saves predictions only if called as yolo.
        sys.argv[:] = ["yolo", *args, *(f"{k}={v}" for k, v in added.items())]
        if "data" not in added:
            cfg.entrypoint()
        else:
            _train_on_demo(added)
    except YOLOStarNetError as error:
        print(f"yolo-starnet: {error}", file=sys.stderr)
        return 1
    finally:
        sys.argv[:] = before
    return 0


def _given(args: list[str]) -> dict[str, str]:
    """The arguments as Ultralytics will read them: key to value, or a word to nothing."""
    try:
        merged = cfg.merge_equals_args(args)
    except SyntaxError:
        return {}  # Ultralytics has its own words for it
    pairs = (a.removeprefix("--").removesuffix(",").partition("=") for a in merged)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _defaults(given: dict[str, str]) -> dict[str, Any]:
    """What a training needs and `given` leaves out: a StarNet model, and the built-in data of its task."""
    mode = next((m for m in cfg.MODES if m in given), given.get("mode"))
    if mode != "train" or given.keys() & {"cfg", "resume"}:
        return {}
    task = next((t for t in cfg.TASKS if t in given), given.get("task", "detect"))
    if task not in MODELS:
        return {}  # Ultralytics has its own words for it
    added: dict[str, Any] = {}
    if "model" not in given:
        added["model"] = MODELS[task]
    elif "data" not in given:
        model = YOLO(given["model"])
        if model.overrides.get("data"):
            return {}  # a checkpoint knows what it was trained on
        task = str(model.task)
    if "data" not in given:
        added["data"] = datasets.SETS[task].name
        # A word alone, such as the task 'pose', is no value for the setting of that name.
        added.update({k: v for k, v in datasets.SETS[task].recipe.items() if not given.get(k)})
    return added


def _train_on_demo(added: dict[str, Any]) -> None:
    """Say what was chosen and why, train, and close with what to run next."""
    task = next(t for t, d in datasets.SETS.items() if d.name == added["data"])
    chosen = " ".join(f"{k}={v}" for k, v in added.items())
    LOGGER.info(
        f"yolo-starnet: no data given, so training on built-in images of shapes, with\n    {chosen}\n{datasets.REASON}"
    )
    best: list[Path] = []

    def use_all_cores(trainer: Any) -> None:
        torch.set_num_threads(min(os.cpu_count() or 1, 8))  # Ultralytics leaves one idle, half of a small machine

    def remember(trainer: Any) -> None:
        best.append(Path(trainer.best))

    added_callbacks = (("on_train_start", use_all_cores), ("on_train_end", remember))
    for event, callback in added_callbacks:
        default_callbacks[event].append(callback)
    try:
        cfg.entrypoint()
    finally:
        for event, callback in added_callbacks:
            default_callbacks[event].remove(callback)
    yours = "your-folder" if task == "classify" else "your-data.yaml"
    for weights in best:
        LOGGER.info(
            "\nNext, look at what it finds, and train on data of your own:\n"
            f"    yolo-starnet predict model={weights} source={datasets.validation_images(task)}\n"
            f"    yolo-starnet train model={MODELS[task]} data={yours} epochs=100"
        )
