"""Measures models side by side on this machine: size, time, memory and, on a data set, accuracy."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import ultralytics
from ultralytics.engine.exporter import export_formats
from ultralytics.utils import TQDM

from ..errors import ConfigError, YOLOStarNetError, brief, nearest
from ..measuring import figures
from ..measuring.quiet import quiet
from ..measuring.timing import WARM_UP, interleave, peak_memory, quartiles


@dataclass(frozen=True)
class Options:
    """How models are compared.

    Attributes:
        imgsz: Height and width in pixels of the image, which is noise.
        batch: Images in each prediction.
        device: As in `predict`. Ultralytics chooses one by default.
        format: The format to export each model to first, such as `onnx`. The default is PyTorch, without an export.
        data: A data set to measure the accuracy of trained models on. The default is no accuracy.
        rounds: How often each model is timed.
    """

    imgsz: int = 640
    batch: int = 1
    device: str | None = None
    format: str = ""
    data: str = ""
    rounds: int = 30

    @cached_property
    def images(self) -> list[np.ndarray]:
        """The images of a prediction, `imgsz` x `imgsz` x 3 (uint8), all alike."""
        return [np.random.default_rng(0).integers(0, 256, (self.imgsz, self.imgsz, 3), np.uint8)] * self.batch


class Row(NamedTuple):
    """The results of one model.

    Attributes:
        model: What was given to `YOLO(...)`.
        parameters: Number of parameters; None for an exported file, where it is unknown.
        gflops: GFLOPs at the size of the image; None where unknown.
        inference: Median time of the forward pass, in milliseconds an image.
        low: Its first quartile.
        high: Its third quartile.
        whole: Median time of the whole `predict`, in milliseconds an image.
        memory: Peak memory in MB (see `peak_memory`).
        accuracy: The value of `Comparison.metric`; None where it was not measured.
    """

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
    """The results in the order of the models, the conditions of the measurement, and the metric of accuracy."""

    rows: list[Row]
    conditions: str
    metric: str


@dataclass
class Candidate:
    """A model that is ready to run, and what has been measured of it so far.

    Attributes:
        name: What was given to `YOLO(...)`.
        model: The loaded model.
        file: The file that it was loaded from: `name` or an export of it.
        size: Its figures, None where they are unknown.
        trained: Whether its accuracy can be measured.
        memory: Peak memory in MB.
        metric: The name of the metric of its accuracy, '' if not measured.
        accuracy: The value of that metric.
    """

    name: str
    model: Any
    file: str
    size: figures.Figures | None
    trained: bool
    memory: float = 0.0
    metric: str = ""
    accuracy: float | None = None

    def predict(self, options: Options) -> dict[str, float]:
        """Predict once and return the time of each of the three steps, in milliseconds an image."""
        arguments = {"imgsz": options.imgsz, "device": options.device, "verbose": False, "save": False}
        results = self.model.predict(options.images, **arguments)
        return dict(results[0].speed)

    def measure_accuracy(self, options: Options) -> None:
        """Validate and keep the main metric of the task: mAP50-95, of masks or keypoints where there are any."""
        with tempfile.TemporaryDirectory() as folder:
            arguments = {"data": options.data, "imgsz": options.imgsz, "device": options.device, "plots": False}
            results = self.model.val(**arguments, project=folder).results_dict
        key = next((key for key in reversed(results) if "mAP50-95" in key), next(iter(results)))
        self.metric, self.accuracy = key.removeprefix("metrics/"), float(results[key])

    def row(self, speeds: Sequence[dict[str, float]]) -> Row:
        """Summarise what was measured. `speeds` is the result of `predict` in each round."""
        low, middle, high = quartiles([speed["inference"] for speed in speeds])
        whole = statistics.median(sum(speed.values()) for speed in speeds)
        parameters, gflops = (self.size.parameters, self.size.gflops) if self.size else (None, None)
        return Row(self.name, parameters, gflops, middle, low, high, whole, self.memory, self.accuracy)


def compare(models: Sequence[str], options: Options = Options()) -> Comparison:
    """Measure models through the stock `predict`, interleaved.

    Args:
        models: What `YOLO(...)` takes: YAMLs, checkpoints, exported files.
        options: How to compare them.

    Raises:
        ConfigError: No model is given, the format does not exist, or a model cannot be built, exported or run.
    """
    _check_format(options.format)
    if not models:
        raise ConfigError("model= names no model; give one or more, such as model=yolo11n.yaml,yolo11n-starnet.yaml")
    names = list(dict.fromkeys(models))
    steps = len(names) * (2 + bool(options.data)) + options.rounds
    with quiet(), tempfile.TemporaryDirectory() as folder, TQDM(total=steps, desc="compare") as bar:
        candidates = []
        for i, name in enumerate(names):
            with _errors_name(name):
                candidates.append(_prepare(name, options, Path(folder, str(i))))
            bar.update()
        runs = {candidate.name: (lambda c=candidate: c.predict(options)) for candidate in candidates}
        speeds = interleave(runs, options.rounds, bar.update)
        conditions = _conditions(options, candidates[0].model.predictor.device)
        for candidate in candidates:
            with _errors_name(candidate.name):
                _measure(candidate, options, bar)
    rows = [candidate.row(speeds[candidate.name]) for candidate in candidates]
    return Comparison(rows, conditions, next((c.metric for c in candidates if c.metric), ""))


def _check_format(format: str) -> None:
    formats = [known for known in export_formats()["Argument"] if known != "-"]
    if format and format not in formats:
        raise ConfigError(f"no format '{format}' among {', '.join(formats)}{nearest(format, formats)}")


def _prepare(name: str, options: Options, folder: Path) -> Candidate:
    """Load a model, count its size, export it into `folder` if a format is given, and warm it up."""
    candidate = _load(name, options.imgsz)
    _check_size(candidate.model.model, options.imgsz)
    if options.format:
        if not isinstance(candidate.model.model, torch.nn.Module):
            raise ConfigError("this file is exported already; leave out format=")
        _export(candidate, options, folder)
    for _ in range(WARM_UP):
        candidate.predict(options)
    return candidate


def largest_stride(model: Any) -> int:
    """What the size of an image must be a multiple of, in pixels: the largest stride of a model, at least 32."""
    return max(32, *map(int, getattr(model, "stride", ())), 0)  # an exported file has no stride


def _check_size(model: Any, imgsz: int) -> None:
    """Refuse a size that `predict` would round up, because the report would name another size than was measured."""
    stride = largest_stride(model)
    if imgsz % stride:
        raise ConfigError(f"imgsz= must be a multiple of the largest stride, {stride}; found {imgsz}")


def _load(name: str, imgsz: int) -> Candidate:
    """Build or load a model, and count its size unless it is an exported file."""
    model = ultralytics.YOLO(name)
    if not isinstance(model.model, torch.nn.Module):
        return Candidate(name, model, name, None, trained=True)
    return Candidate(name, model, name, figures.of_model(model.model, imgsz), trained=Path(name).suffix == ".pt")


def _export(candidate: Candidate, options: Options, folder: Path) -> None:
    """Export a model into `folder` and load the export in its place."""
    # From a copy, because Ultralytics exports a checkpoint into its folder and a YAML into the current folder.
    folder.mkdir()
    model = candidate.model
    copy = folder / f"{Path(candidate.name).stem}.pt"
    torch.save({"model": model.model, "train_args": model.ckpt["train_args"] if candidate.trained else {}}, copy)
    file = ultralytics.YOLO(copy).export(format=options.format, imgsz=options.imgsz, batch=options.batch)
    candidate.model, candidate.file = ultralytics.YOLO(file, task=model.task), str(file)


def _measure(candidate: Candidate, options: Options, bar: TQDM) -> None:
    """Measure the memory and, on a data set, the accuracy of a model."""
    candidate.memory = peak_memory(candidate.file, candidate.model.task, options.imgsz, options.batch, options.device)
    bar.update()
    if options.data:
        if candidate.trained:
            candidate.measure_accuracy(options)
        bar.update()


def _conditions(options: Options, device: object) -> str:
    """Say in one line how the times were measured."""
    return (
        f"{options.imgsz} x {options.imgsz} pixels, batch {options.batch}, {device}, "
        f"{options.format or 'no export'}, torch on {torch.get_num_threads()} of {os.cpu_count()} CPUs, "
        f"{options.rounds} interleaved rounds, Ultralytics {ultralytics.__version__}, torch {torch.__version__}"
    )


@contextmanager
def _errors_name(model: str) -> Iterator[None]:
    """Put the name of a model in front of any error."""
    try:
        yield
    except Exception as error:
        raise ConfigError(f"{model}: {error if isinstance(error, YOLOStarNetError) else brief(error)}") from error
