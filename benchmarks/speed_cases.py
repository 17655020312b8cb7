"""What speed.py measures: the models, the conditions, and one function for each part."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from ultralytics import YOLO
from ultralytics.cfg import get_cfg

from speed_engines import START, Timed, clock, missing
from speed_report import Conditions, Record, records
from yolo_starnet import plugins
from yolo_starnet.commands import graft
from yolo_starnet.measuring.timing import WARM_UP, interleave
from yolo_starnet.model_yaml.strides import run_rows
from yolo_starnet.patching import joined

PAIRS = {"yolo11n": "yolo11n-starnet", "yolo26n": "yolo26n-starnet", "yolov8n": "yolov8n-starnet"}
"""Stock models and their StarNet forms."""
MODELS = [name for pair in PAIRS.items() for name in pair]
FEWEST, MOST = 7, 60
"""Rounds of a group, however long a round takes."""
RECOMMENDED = ("yolo11n", "yolo26n", "yolo11n-starnet_fit")
"""The recommended model after the stock ones; ratios are to the first."""
CONTROL = "yolo11n with a joined neck"
"""What the stock model would take if its neck were joined as fuse() joins ours."""
COMMON = ("predict", "onnx", "openvino")
"""What most people deploy on a CPU: measured under more conditions than the other engines."""
SIZES = (Conditions(640, 1, 2), Conditions(640, 1, 1), Conditions(320, 1, 2), Conditions(1280, 1, 2))
PREDICTION = (*SIZES, Conditions(640, 8, 2))
"""Conditions of the engines: one varies at a time."""
STEPS = (Conditions(256, 16, 2), Conditions(256, 16, 1), Conditions(640, 4, 2))
"""Conditions of a training step."""
SWAPS = {
    "yolo11n with StarFuse": ("Concat:StarFuse", "head"),
    "yolo11n with StarFuse, top-down": ("Concat:StarFuse", "12,15"),
    "yolo11n with StarCSP": ("C3k2:StarCSP", "head"),
    "yolo11n with StarCSP at P4 and P5": ("C3k2:StarCSP", "6,8"),
}
"""YOLO11n with star layers in place of stock ones, as `yolo-starnet graft swap=… where=…` writes it."""
KINDS = ("backbone", "SPPF and C2PSA", "neck", "head")
"""The parts of a YOLO11 that are timed on their own."""
BEGINS = {"SPPF": "SPPF and C2PSA", "Upsample": "neck", "Identity": "neck", "Detect": "head"}
"""The layers that they begin with; in a joined neck, Identity stands for Upsample."""


def pair(seconds: float) -> Iterator[Record]:
    """YOLO11n and its StarNet form alone, for longer."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        files = {name: checkpoint(name, Path(folder)) for name in MODELS[:2]}
        for threads, engine in product((2, 1), COMMON):
            yield from _engine("pair", engine, files, Conditions(640, 1, threads), 2 * seconds)


def recommended(seconds: float) -> Iterator[Record]:
    """The recommended model, YOLO11n and YOLO26n alone, for longer; and YOLO11n with the same change of its neck."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        files = {name: checkpoint(name, Path(folder)) for name in RECOMMENDED}
        files[CONTROL] = _joined(RECOMMENDED[0], Path(folder))
        for threads, engine in product((1, 2), COMMON):
            yield from _engine("recommended", engine, files, Conditions(640, 1, threads), 2 * seconds, [tuple(files)])


def scales(seconds: float) -> Iterator[Record]:
    """The recommended model at the scales s and m, beside YOLO11 and YOLO26."""
    for scale in "sm":
        group = tuple(name.replace("n", scale, 1) for name in RECOMMENDED)
        with tempfile.TemporaryDirectory(prefix="speed-") as folder:
            files = {name: checkpoint(name, Path(folder)) for name in group}
            yield from _engine("scales", "predict", files, Conditions(640, 1, 1), 4 * seconds, [group])


def engines(seconds: float) -> Iterator[Record]:
    """Every model through every engine that is installed."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        files = {name: checkpoint(name, Path(folder)) for name in MODELS}
        for conditions, engine in product(PREDICTION, START):
            if engine not in COMMON and conditions[:2] != (640, 1):
                continue
            if engine == "compile" and conditions != (640, 1, 2):
                continue  # compiling takes a minute a model
            yield from _engine("engines", engine, files, conditions, seconds)


def layers(seconds: float) -> Iterator[Record]:
    """Where the time goes: the layers of YOLO11n and its StarNet form, fused and channels-last, by what they are."""
    models = {name: _network(name).eval().fuse().to(memory_format=torch.channels_last) for name in MODELS[:2]}
    image = torch.rand(1, 3, 640, 640).contiguous(memory_format=torch.channels_last)
    for threads in (2, 1):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            times = timed({name: partial(_by_kind, m, image) for name, m in models.items()}, 2 * seconds)
        for kind in KINDS:
            yield from records("layers", kind, Conditions(640, 1, threads), _of_kind(kind, times))


def swaps(seconds: float) -> Iterator[Record]:
    """YOLO11n with star layers in place of stock ones, beside YOLO11n."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        files = {"yolo11n": checkpoint("yolo11n", Path(folder))}
        files |= {name: _swapped(name, Path(folder)) for name in SWAPS}
        for threads, engine in product((1, 2), COMMON):
            yield from _engine("swaps", engine, files, Conditions(640, 1, threads), 2 * seconds, [tuple(files)])


def training(seconds: float) -> Iterator[Record]:
    """A training step: forward, loss, backward and the optimizer."""
    for conditions in STEPS:
        torch.set_num_threads(conditions.threads)
        steps = {name: clock("training", _step(name, conditions.size, conditions.batch)) for name in MODELS}
        times = _of_kind("training", timed(steps, seconds * 2))
        for names in PAIRS.items():
            yield from records("training", "PyTorch", conditions, {name: times[name] for name in names})


PARTS: dict[str, Callable[[float], Iterable[Record]]] = {
    "recommended": recommended,
    "scales": scales,
    "pair": pair,
    "engines": engines,
    "layers": layers,
    "swaps": swaps,
    "training": training,
}
"""What the command line calls them; each takes the seconds that a group of models is timed."""


def timed(runs: Mapping[str, Timed], seconds: float) -> dict[str, list[dict[str, float]]]:
    """Interleave after a warm-up, for about `seconds`."""
    start = time.perf_counter()
    interleave(runs, WARM_UP, settle=0)
    of_a_round = 2 * (time.perf_counter() - start) / WARM_UP
    return interleave(runs, min(max(int(seconds / of_a_round), FEWEST), MOST))


def checkpoint(name: str, folder: Path) -> Path:
    """A model with random weights as a checkpoint."""
    torch.manual_seed(0)
    return _saved(_network(name), folder / f"{name}.pt")


def _joined(name: str, folder: Path) -> Path:
    """A stock model with random weights and a joined neck as a checkpoint."""
    torch.manual_seed(0)
    network = _network(name)
    joined.join(network)
    return _saved(network, folder / f"{name}-joined.pt")


def _swapped(name: str, folder: Path) -> Path:
    """A case of `SWAPS` with random weights as a checkpoint."""
    torch.manual_seed(0)
    swap, where = SWAPS[name]
    out = folder / f"{name.replace(' ', '-')}-yolo11n.yaml"
    graft.graft(plugins.table(), graft.Given("yolo11n.yaml", swap=swap, where=where, out=str(out)))
    return _saved(YOLO(out).model, out.with_suffix(".pt"))


def _saved(network: Any, file: Path) -> Path:
    """A model as a checkpoint."""
    torch.save({"model": network, "train_args": {}}, file)
    return file


def _engine(
    part: str,
    engine: str,
    files: Mapping[str, Path],
    conditions: Conditions,
    seconds: float,
    groups: Iterable[tuple[str, ...]] = tuple(PAIRS.items()),
) -> Iterator[Record]:
    """Models through one engine, under one set of conditions; in each group the ratios are to the first."""
    if module := missing(engine):
        print(f"{engine} is left out: {module} is not installed")
        return
    times = timed({name: START[engine](file, *conditions) for name, file in files.items()}, seconds)
    kinds = list(next(iter(times.values()))[0])
    for kind, names in product(kinds, groups):
        if names[0] in times:
            of_kind = _of_kind(kind, times)
            yield from records(part, kind, conditions, {name: of_kind[name] for name in names})


def _of_kind(kind: str, times: Mapping[str, list[dict[str, float]]]) -> dict[str, list[float]]:
    return {name: [t[kind] for t in of_model] for name, of_model in times.items()}


def _by_kind(model: Any, x: Any) -> dict[str, float]:
    """The milliseconds that each part of a YOLO11 takes."""
    times = dict.fromkeys(KINDS, 0.0)
    kind = KINDS[0]
    start = time.perf_counter()
    for layer, _ in run_rows(model.model, x):
        kind = BEGINS.get(type(layer).__name__, kind)
        times[kind] += (time.perf_counter() - start) * 1e3
        start = time.perf_counter()
    return times


def _network(name: str) -> Any:
    yolo: Any = YOLO(f"{name}.yaml")
    return yolo.model


def _step(name: str, size: int, batch: int) -> Callable[[], None]:
    """A step of training on noise with eight boxes an image."""
    torch.manual_seed(0)
    model = _network(name).train()
    model.args = get_cfg()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
    data = {
        "img": torch.rand(batch, 3, size, size),
        "cls": torch.zeros(8 * batch, 1),
        "bboxes": torch.rand(8 * batch, 4) * 0.4 + 0.3,
        "batch_idx": torch.arange(batch).repeat_interleave(8).float(),
    }

    def run() -> None:
        optimizer.zero_grad()
        model(data)[0].sum().backward()
        optimizer.step()

    return run
