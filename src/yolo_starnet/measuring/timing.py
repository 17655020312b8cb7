"""Time and memory; interleaved, so background load affects all models equally."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
import ultralytics

from .quiet import quiet

WARM_UP = 3
"""Calls before the measurement, in which allocators, caches and lazily built kernels settle."""
T = TypeVar("T")


def interleave(
    runs: Mapping[str, Callable[[], T]], rounds: int, after: Callable[[], object] = lambda: None, settle: int = 1
) -> dict[str, list[T]]:
    """Call each of `runs` once a round, so that background load affects all of them equally.

    Args:
        runs: The functions to call, by name.
        rounds: The number of rounds. Each begins with another function.
        after: Called after each round.
        settle: Uncounted calls of a function before its counted call. They fill the caches, which the function before
            has filled with its data; a model that runs alone has no such loss.

    Returns:
        For each name, the result of the counted call of each round.
    """
    results: dict[str, list[T]] = {name: [] for name in runs}
    names = list(runs)
    for i in range(rounds):
        first = i % len(names)  # so that a function does not follow the same one in every round
        for name in names[first:] + names[:first]:
            for _ in range(settle):
                runs[name]()
            results[name].append(runs[name]())
        after()
    return results


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(low), float(middle), float(high)


def peak_memory(file: str, task: str, imgsz: int, batch: int, device: str | None = None) -> float:
    """Measure the memory that a model needs to load and to predict, in a new process.

    Args:
        file: A YAML, a checkpoint or an exported file.
        task: Its task.
        imgsz: Height and width of the images in pixels.
        batch: Images in each prediction.
        device: As in `predict`.

    Returns:
        The peak of the resident memory above that before the model was loaded, or of the allocated memory of a CUDA
        device, in MB.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_memory, file, task, imgsz, batch, device).result()


def _peak_memory(file: str, task: str, imgsz: int, batch: int, device: str | None) -> float:
    images = [np.zeros((imgsz, imgsz, 3), np.uint8)] * batch
    with quiet(), _MemoryWatch() as watch:
        model: Any = ultralytics.YOLO(file, task=task)
        for _ in range(3):
            model.predict(images, imgsz=imgsz, device=device, verbose=False, save=False)
    if model.predictor.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(model.predictor.device) / 1e6)
    return (watch.peak - watch.before) / 1e6


class _MemoryWatch:
    """Records the peak of the resident memory of this process, in bytes, while the `with` block runs."""

    def __enter__(self) -> _MemoryWatch:
        self._process, self._done = psutil.Process(), threading.Event()
        self.before = self.peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.is_set():
            self.peak = max(self.peak, self._process.memory_info().rss)
            time.sleep(0.001)
