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
    runs: Mapping[str, Callable[[], T]], rounds: int, after: Callable[[], object] = lambda: None
) -> dict[str, list[T]]:
    """Call each of `runs` once a round, so that whatever else the machine does meets all of them alike.

    Returns:
        For each name, what it returned, a value per round.
    """
    found: dict[str, list[T]] = {name: [] for name in runs}
    names = list(runs)
    for i in range(rounds):
        first = i % len(names)  # whoever follows a large model finds the caches cold
        for name in names[first:] + names[:first]:
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
