"""Time and memory, measured so that what else the machine does meets everything compared alike."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
import ultralytics
from ultralytics.utils import LOGGER

WARM_UP = 3
"""Calls that are not counted: allocators, caches and lazily built kernels settle in them."""
T = TypeVar("T")


def interleave(
    runs: Mapping[str, Callable[[], T]], rounds: int, after: Callable[[], object] = lambda: None, settle: int = 1
) -> dict[str, list[T]]:
    """Let each of `runs` have a turn a round, so that whatever else the machine does meets all of them alike.

    Args:
        runs: What to call, by name.
        rounds: How many turns each has.
        after: Called after each round.
        settle: Calls at the start of a turn that are not counted: they find the caches full of another model, as no
            model does that works alone.

    Returns:
        For each name, what the last call of each turn returned.
    """
    found: dict[str, list[T]] = {name: [] for name in runs}
    names = list(runs)
    for i in range(rounds):
        first = i % len(names)  # nobody always follows the same one
        for name in names[first:] + names[:first]:
            for _ in range(settle):
                runs[name]()
            found[name].append(runs[name]())
        after()
    return found


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The first quartile, the median and the third quartile."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(low), float(middle), float(high)


def peak_memory(file: str, task: str, imgsz: int, batch: int, device: str | None = None) -> float:
    """By how many MB loading a model and predicting three times raise the memory of a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_memory, file, task, imgsz, batch, device).result()


def _peak_memory(file: str, task: str, imgsz: int, batch: int, device: str | None) -> float:
    LOGGER.setLevel(logging.ERROR)
    images = [np.zeros((imgsz, imgsz, 3), np.uint8)] * batch
    process, done = psutil.Process(), threading.Event()
    before = highest = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while not done.is_set():
            highest = max(highest, process.memory_info().rss)
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    model: Any = ultralytics.YOLO(file, task=task)
    for _ in range(3):
        model.predict(images, imgsz=imgsz, device=device, verbose=False, save=False)
    done.set()
    watcher.join()
    if model.predictor.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(model.predictor.device) / 1e6)
    return (highest - before) / 1e6
