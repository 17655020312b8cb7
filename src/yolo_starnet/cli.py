"""The command line: the grammar of `yolo` with the plugin active, and the commands and defaults of this package."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ultralytics import YOLO, cfg
from ultralytics.utils import LOGGER

from .commands import interrupt, table
from .demo import datasets
from .errors import YOLOStarNetError, nearest
from .patching import callbacks
from .tasks import TASKS

MODELS = {name: task.model for name, task in TASKS.items()}
"""The model that is trained for each task by default."""
DEFAULT_MODEL = MODELS["detect"]
EXAMPLES = {
    "train": f"{DEFAULT_MODEL} on built-in data, offline",
    "segment train": f"the same for other tasks: {', '.join(list(TASKS)[1:])}",
    f"train model={DEFAULT_MODEL} data=coco8.yaml": "on other data",
    "predict model=runs/detect/train/weights/best.pt source=image.jpg": "with a trained model",
    **{f"{name} {command.example}".strip(): command.summary for name, command in table.COMMANDS.items()},
}
"""Command lines and what they do, for the help."""
HELP = "\n".join(
    [
        "\n    yolo-starnet takes the arguments of 'yolo', knows StarNet models by name, and adds commands:\n",
        *(f"        # {what}\n        yolo-starnet {line}" for line, what in EXAMPLES.items()),
        "\n    yolo-starnet COMMAND --help lists the arguments of a command that it adds.\n",
    ]
)


class Defaults(NamedTuple):
    """The arguments that a training needs and the user has not given.

    Attributes:
        arguments: Argument to value.
        demo_task: The task whose built-in data set is among them; '' if none is.
    """

    arguments: dict[str, Any]
    demo_task: str = ""


@interrupt.in_one_line
def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line of `yolo` in this process.

    Args:
        argv: The arguments after the name of the program. The default is those of this process.

    Returns:
        The exit status: 1 after an error of this package, which is printed on one line, and 130 after Ctrl+C. Errors
        of Ultralytics are raised.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if args and args[0] in table.COMMANDS:
        return table.main(args[0], args[1:])
    given = _given(args)
    if not args or given.keys() & {"help", "h", "-help", "-h"}:
        LOGGER.info(HELP)
    try:
        _check_words(args)
        _run(args, _defaults(given))
    except YOLOStarNetError as error:
        print(f"yolo-starnet: {error}", file=sys.stderr)
        return 1
    return 0


def _run(args: list[str], defaults: Defaults) -> None:
    """Pass the arguments and the defaults to the stock command line."""
    argv = sys.argv[:]
    # Changed in place, because Ultralytics holds this very list. It saves predictions only if the program is `yolo`.
    sys.argv[:] = ["yolo", *args, *(f"{key}={value}" for key, value in defaults.arguments.items())]
    try:
        if defaults.demo_task:
            _train_on_demo(defaults)
        else:
            cfg.entrypoint()
    finally:
        sys.argv[:] = argv


def _check_words(args: list[str]) -> None:
    """Raise `YOLOStarNetError` for a word that neither Ultralytics nor this package knows.

    Ultralytics would log its whole help and raise an error that knows nothing of the commands of this package.
    """
    keys = {*cfg.MODES, *cfg.TASKS, *cfg.DEFAULT_CFG_DICT}
    commands = _stock_commands()
    for word in (arg for arg in _merged(args) if "=" not in arg):
        bare = word.lower().lstrip("-")
        if len(bare) == 1 or {bare, f"{bare}s"} & commands - {*cfg.MODES, *cfg.TASKS}:
            return  # a command of Ultralytics, which has its own use for what follows
        if word in keys:
            continue
        similar = nearest(word, [*table.COMMANDS, *sorted(keys | commands)])
        raise YOLOStarNetError(f"no command, mode, task or argument '{word}'{similar or '.'} See yolo-starnet --help")


def _stock_commands() -> set[str]:
    """The words of the stock command line, such as `checks`. Only its code holds them, and releases differ."""
    words: set[object] = set()
    for constant in cfg.entrypoint.__code__.co_consts:
        words |= {*constant} if isinstance(constant, (tuple, frozenset)) else {constant}
    return {word for word in words if isinstance(word, str) and re.fullmatch("[a-z][a-z0-9-]+", word)}


def _merged(args: list[str]) -> list[str]:
    """The arguments as Ultralytics reads them: `key=value` or a word, without the marks that it ignores."""
    try:
        merged = cfg.merge_equals_args(args)
    except SyntaxError:
        return []  # Ultralytics raises it again, with its own message
    return [arg.removeprefix("--").removesuffix(",") for arg in merged]


def _given(args: list[str]) -> dict[str, str]:
    """Key to value, and a word without `=` to ''."""
    pairs = (arg.partition("=") for arg in _merged(args))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _defaults(given: Mapping[str, str]) -> Defaults:
    """Choose the model and the data of a training where they are not given."""
    mode = next((m for m in cfg.MODES if m in given), given.get("mode"))
    if mode != "train" or given.keys() & {"cfg", "resume"}:
        return Defaults({})
    task = next((t for t in cfg.TASKS if t in given), given.get("task", "detect"))
    if task not in TASKS:
        return Defaults({})  # Ultralytics has its own message
    model = {} if "model" in given else {"model": TASKS[task].model}
    if "data" in given:
        return Defaults(model)
    if not model:
        yolo = YOLO(given["model"])
        if data := yolo.overrides.get("data"):
            return Defaults({"data": data})  # the data that a checkpoint was trained on, not Ultralytics' coco8.yaml
        task = str(yolo.task)
    # A word without a value, such as the task 'pose', does not set the argument of that name.
    recipe = {key: value for key, value in datasets.SETS[task].recipe.items() if not given.get(key)}
    return Defaults({**model, "data": TASKS[task].data, **recipe}, task)


def _cores() -> int:
    """The number of cores that this process may use; a container or `taskset` often gives it fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _train_on_demo(defaults: Defaults) -> None:
    """Train on built-in data: log what was chosen and why, and afterwards the commands to run next."""
    chosen = " ".join(f"{key}={value}" for key, value in defaults.arguments.items())
    LOGGER.info(
        "yolo-starnet: data= is not given, so this trains on built-in images of shapes, with\n"
        f"    {chosen}\n{datasets.REASON}"
    )
    best: list[Path] = []

    def use_all_cores(trainer: Any) -> None:
        torch.set_num_threads(min(_cores(), 8))  # Ultralytics leaves one idle, half of a small machine

    def remember(trainer: Any) -> None:
        best.append(Path(trainer.best))

    with callbacks.in_every_training(on_train_start=use_all_cores, on_train_end=remember):
        cfg.entrypoint()
    task = defaults.demo_task
    data = "your-folder" if task == "classify" else "your-data.yaml"
    for weights in best:
        LOGGER.info(
            "\nNext, look at its predictions, and train on your own data:\n"
            f"    yolo-starnet predict model={weights} source={datasets.validation_images(task)}\n"
            f"    yolo-starnet train model={TASKS[task].model} data={data} epochs=100"
        )
