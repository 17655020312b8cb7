"""Models side by side on this machine: size, time, memory and, on a data set, accuracy."""

from __future__ import annotations

import csv
import logging
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import ultralytics
from ultralytics.engine.exporter import export_formats
from ultralytics.utils import LOGGER, RUNS_DIR, TQDM
from ultralytics.utils.files import increment_path

from ..errors import ConfigError, brief
from ..measuring import figures
from ..measuring.timing import WARM_UP, interleave, peak_memory, quartiles


class Row(NamedTuple):
    """What one model comes to; times in milliseconds an image, memory in MB, None where there is nothing to tell."""

    model: str
    parameters: int | None
    gflops: float | None
    inference: float
    low: float
    high: float
    whole: float
    memory: float
    accuracy: float | None


class Comparison(NamedTuple):
    """The rows in the order asked for, and how they were measured."""

    rows: list[Row]
    conditions: str
    metric: str


class Candidate(NamedTuple):
    """A model that is ready to run: the file it came from, its size unless that is unknown, whether it was trained."""

    model: Any
    file: str
    counted: figures.Figures | None
    trained: bool


def compare(
    models: Sequence[str],
    imgsz: int = 640,
    batch: int = 1,
    device: str | None = None,
    format: str = "",
    data: str = "",
    rounds: int = 30,
) -> Comparison:
    """Measure models through the stock `predict`, taking turns, each round beginning with another model.

    Args:
        models: What `YOLO(...)` takes: YAMLs, checkpoints, exported files.
        imgsz: Height and width in pixels of the image, which is noise.
        batch: Images at once.
        device: As in `predict`; Ultralytics' own choice unless given.
        format: What to export each to before, such as `onnx`; PyTorch unless given.
        data: A data set to measure the accuracy of trained models on.
        rounds: How often each model is timed.

    Raises:
        ConfigError: There is no such format, or a model cannot be built, exported or run.
    """
    names = list(dict.fromkeys(models))
    formats = [known for known in export_formats()["Argument"] if known != "-"]
    if format and format not in formats:
        raise ConfigError(f"no format '{format}'; there are {', '.join(formats)}")
    images = [np.random.default_rng(0).integers(0, 256, (imgsz, imgsz, 3), np.uint8)] * batch
    predict = {"imgsz": imgsz, "device": device, "verbose": False, "save": False}
    metric = ""
    memory: dict[str, float] = {}
    accuracy: dict[str, float] = {}
    with (
        _quiet(),
        tempfile.TemporaryDirectory() as folder,
        TQDM(total=len(names) * (2 + bool(data)) + rounds, desc="compare") as bar,
    ):
        candidates = {}
        for i, name in enumerate(names):
            with _named(name):
                candidates[name] = _prepare(name, format, imgsz, batch, Path(folder, str(i)))
                for _ in range(WARM_UP):
                    candidates[name].model.predict(images, **predict)
            bar.update()
        built = {name: candidate.model for name, candidate in candidates.items()}
        speeds = interleave(
            {name: partial(_speed, model, images, predict) for name, model in built.items()}, rounds, bar.update
        )
        threads, where = torch.get_num_threads(), built[names[0]].predictor.device
        for name, candidate in candidates.items():
            with _named(name):
                memory[name] = peak_memory(candidate.file, candidate.model.task, imgsz, batch, device)
                bar.update()
                if data and candidate.trained:
                    metric, accuracy[name] = _accuracy(candidate, data, imgsz, device)
                bar.update(bool(data))
    rows = []
    for name, found in speeds.items():
        low, middle, high = quartiles([speed["inference"] for speed in found])
        whole = statistics.median(sum(speed.values()) for speed in found)
        counted = candidates[name].counted
        parameters, gflops = (counted.parameters, counted.gflops) if counted else (None, None)
        rows.append(Row(name, parameters, gflops, middle, low, high, whole, memory[name], accuracy.get(name)))
    conditions = (
        f"{imgsz} x {imgsz} pixels, batch {batch}, {where}, {format or 'no export'}, torch on {threads} of "
        f"{os.cpu_count()} CPUs, {rounds} interleaved rounds, Ultralytics {ultralytics.__version__}, "
        f"torch {torch.__version__}"
    )
    return Comparison(rows, conditions, metric)


def table(comparison: Comparison) -> str:
    """The comparison as a table in Markdown; a ratio is to the first model."""
    first = comparison.rows[0].inference
    lines = [
        f"| model | parameters (M) | GFLOPs | inference (ms) | quartiles | ratio | whole predict (ms) | memory (MB) |"
        f"{f' {comparison.metric} |' if comparison.metric else ''}",
        "| --- " * (9 if comparison.metric else 8) + "|",
    ]
    for row in comparison.rows:
        size = f"{_or_dash(row.parameters and row.parameters / 1e6, '.2f')} | {_or_dash(row.gflops, '.1f')}"
        times = f"{row.inference:.1f} | {row.low:.1f} to {row.high:.1f} | {row.inference / first:.2f} | {row.whole:.1f}"
        last = f" {_or_dash(row.accuracy, '.3f')} |" if comparison.metric else ""
        lines.append(f"| {row.model} | {size} | {times} | {row.memory:.0f} |{last}")
    return "\n".join([*lines, "", comparison.conditions])


def write(comparison: Comparison) -> Path:
    """Write the comparison as compare.csv, compare.md and compare.png into a new folder and return that."""
    folder = Path(increment_path(RUNS_DIR / "compare", mkdir=True))
    with (folder / "compare.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([Row._fields, *comparison.rows])
    (folder / "compare.md").write_text(table(comparison) + "\n", encoding="utf-8")
    _picture(comparison, folder / "compare.png")
    return folder


def _picture(comparison: Comparison, file: Path) -> None:
    """Scatter accuracy, or GFLOPs where there is none, over milliseconds, with the quartiles as bars."""
    from matplotlib.figure import Figure  # here, since it takes a while; not pyplot, which wants a screen

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for row in comparison.rows:
        y = row.accuracy if comparison.metric else row.gflops
        if y is None:
            continue
        spread = [[row.inference - row.low], [row.high - row.inference]]
        axes.errorbar([row.inference], [y], xerr=spread, fmt="o", capsize=3)
        axes.annotate(Path(row.model).name, (row.inference, y), xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set(xlabel="inference, ms an image", ylabel=comparison.metric or "GFLOPs", xlim=(0, None))
    axes.margins(x=0.2, y=0.15)
    axes.set_title(comparison.conditions, fontsize=7, wrap=True)
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=150)


def _prepare(name: str, format: str, imgsz: int, batch: int, folder: Path) -> Candidate:
    """Build or load a model, count it, and export it into `folder` if a format is asked for."""
    model = ultralytics.YOLO(name)
    if not isinstance(model.model, torch.nn.Module):
        if format:
            raise ConfigError("it is exported already; leave format= out")
        return Candidate(model, name, None, trained=True)
    counted = figures.of_model(model.model, imgsz)
    trained = Path(name).suffix == ".pt"
    if not format:
        return Candidate(model, name, counted, trained)
    # A copy, since Ultralytics exports beside the checkpoint, and of a YAML into the current folder.
    folder.mkdir()
    checkpoint = folder / f"{Path(name).stem}.pt"
    torch.save({"model": model.model, "train_args": model.ckpt["train_args"] if trained else {}}, checkpoint)
    file = ultralytics.YOLO(checkpoint).export(format=format, imgsz=imgsz, batch=batch)
    return Candidate(ultralytics.YOLO(file, task=model.task), str(file), counted, trained)


def _speed(model: Any, images: list[Any], arguments: dict[str, Any]) -> dict[str, float]:
    """The milliseconds an image that a prediction reports of its three steps."""
    return dict(model.predict(images, **arguments)[0].speed)


def _accuracy(candidate: Candidate, data: str, imgsz: int, device: str | None) -> tuple[str, float]:
    """The name and value of what Ultralytics judges a task by: mAP50-95, of masks or keypoints where there are any."""
    with tempfile.TemporaryDirectory() as folder:
        found = candidate.model.val(data=data, imgsz=imgsz, device=device, plots=False, project=folder).results_dict
    key = next((key for key in reversed(found) if "mAP50-95" in key), next(iter(found)))
    return key.removeprefix("metrics/"), float(found[key])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ultralytics' log from tearing the progress bar."""
    level = LOGGER.level
    LOGGER.setLevel(logging.ERROR)
    try:
        yield
    finally:
        LOGGER.setLevel(level)


@contextmanager
def _named(model: str) -> Iterator[None]:
    """Say which model an error is about."""
    try:
        yield
    except Exception as error:
        raise ConfigError(f"{model}: {brief(error)}") from error


def _or_dash(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
