"""Ctrl+C in a command: one line that says how to go on, in place of a traceback."""

from __future__ import annotations

import functools
import shlex
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import ParamSpec

from ultralytics.engine.trainer import BaseTrainer
from ultralytics.nn import tasks

_Arguments = ParamSpec("_Arguments")
STATUS = 130
"""The exit status of a program that Ctrl+C ended: 128 and the number of the signal."""
_SECONDS = 60
"""How long after Ctrl+C another error is taken for its result."""


def in_one_line(main: Callable[_Arguments, int]) -> Callable[_Arguments, int]:
    """Let a command line end with one line and status 130 when it is interrupted."""

    @functools.wraps(main)
    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> int:
        with _times_of_ctrl_c() as times:
            try:
                return main(*args, **kwargs)
            except BaseException as error:
                # Ctrl+C in compiled code or in a worker of the data loader can end in any other error.
                if not isinstance(error, KeyboardInterrupt) and not (times and time.monotonic() - times[-1] < _SECONDS):
                    raise
                # The line of a progress bar may be unfinished.
                print(f"\nyolo-starnet: interrupted. {_next_step(error)}".rstrip(), file=sys.stderr)
                return STATUS

    return run


@contextmanager
def _times_of_ctrl_c() -> Iterator[list[float]]:
    """Note when Ctrl+C comes, which raises KeyboardInterrupt as ever."""
    times: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        times.append(time.monotonic())
        raise KeyboardInterrupt

    # Only the main thread may set a handler, and a handler of somebody else stays.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield times
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield times
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _next_step(interrupt: BaseException) -> str:
    """What the user of an interrupted training can do; '' if nothing was training."""
    trainer = _trainer(interrupt)
    if trainer is None:
        return ""
    if not _can_be_resumed(trainer.last):
        return f"There is no checkpoint to resume from in {trainer.wdir}"
    transplant = hasattr(getattr(trainer.model, "module", trainer.model), "transplant")
    command, key = ("transplant", "resume") if transplant else ("train resume", "model")
    return f"Resume this training with: yolo-starnet {command} {shlex.quote(f'{key}={trainer.last}')}"


def _trainer(interrupt: BaseException) -> BaseTrainer | None:
    """Find the trainer that was interrupted. The stock command line keeps it to itself, so this asks the traceback."""
    owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(interrupt.__traceback__)]
    trainers = [owner for owner in owners if isinstance(owner, BaseTrainer) and hasattr(owner, "last")]
    return trainers[-1] if trainers else None


def _can_be_resumed(checkpoint: Path) -> bool:
    """Whether a checkpoint is whole and of an unfinished training: the epoch of a finished one is -1."""
    try:
        return checkpoint.is_file() and int(tasks.torch_safe_load(str(checkpoint))[0].get("epoch", -1)) >= 0
    except Exception:  # a file that was half written raises whatever its first bad byte leads to
        return False
