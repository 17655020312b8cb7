"""Time the models of accuracy.py beside YOLO11n."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any

import torch
from ultralytics import YOLO
from ultralytics.utils.torch_utils import get_cpu_info

from accuracy_report import Row
from yolo_starnet.measuring.timing import WARM_UP, interleave

REFERENCE = "yolo11n"
"""Times are relative to this model's."""
ROUNDS = 50
SIZE = 640
"""Height and width of the image in pixels."""


def time_models(rows: Iterable[Row], models: Mapping[str, str], rounds: int = ROUNDS) -> None:
    """Measure milliseconds of a forward pass, fused, channels-last, on one thread, and write them into the rows.

    Args:
        rows: Rows of the CSV; those of the models get new `ms`, `ms_ratio` and `ms_device`.
        models: What `YOLO()` loads, by name.
        rounds: Turns of each model.
    """
    torch.set_num_threads(1)
    image = torch.rand(1, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    files = {REFERENCE: f"{REFERENCE}.yaml", **models}
    runs = {name: _forward(YOLO(file), image) for name, file in files.items()}
    with torch.inference_mode():
        interleave(runs, WARM_UP, settle=0)
        times = interleave(runs, rounds)
    for row in (row for row in rows if row["model"] in times):
        own, reference = times[row["model"]], times[REFERENCE]
        row["ms"], row["ms_ratio"] = f"{median(own):.1f}", f"{median(a / b for a, b in zip(own, reference)):.3f}"
        row["ms_device"] = f"{get_cpu_info()}, torch {torch.__version__}"


def _forward(yolo: Any, image: torch.Tensor) -> Callable[[], float]:
    model = yolo.model.eval().fuse(verbose=False).to(memory_format=torch.channels_last)

    def run() -> float:
        start = time.perf_counter()
        model(image)
        return 1000 * (time.perf_counter() - start)

    return run
