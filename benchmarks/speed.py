"""Time StarNet models beside the stock ones, interleaved, and write benchmarks/results/speed.{csv,md,png}.

`python benchmarks/speed.py` measures everything, some 40 minutes on two cores; `… levels training` only those parts.
`seconds=` is how long each group of models is timed (15), `full=1` crosses every engine with every size, batch and
thread count, which takes hours. Parts: pair, engines, levels, layers, training, memory, floor, plugin.
"""

from __future__ import annotations

import csv
import importlib
import logging
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import ultralytics
from torch import nn
from ultralytics import YOLO
from ultralytics.cfg import get_cfg
from ultralytics.nn import tasks
from ultralytics.utils import LOGGER

import yolo_starnet
from yolo_starnet.measuring import figures
from yolo_starnet.measuring.timing import WARM_UP, interleave, peak_memory, quartiles

RESULTS = Path(__file__).parent / "results"
PAIRS = {
    "yolo11n": "yolo11n-starnet",
    "yolo26n": "yolo26n-starnet",
    "yolov8n": "yolov8n-starnet",
}
"""Stock models and their StarNet forms."""
MODELS = [name for pair in PAIRS.items() for name in pair]
FEWEST, MOST = 7, 60
"""Rounds that a group is timed for, however long they take."""
ENGINES = {
    "predict": "PyTorch, the whole of a stock `predict`",
    "inference": "PyTorch, the inference part of it",
    "compile": "PyTorch, `predict(compile=True)`, the inference part",
    "torchscript": "TorchScript",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "ncnn": "NCNN",
}


COMMON = ("predict", "onnx", "openvino")
"""What most people deploy on a CPU: measured under more conditions than the others."""


class Record(NamedTuple):
    """The times of one model among those that it was interleaved with; milliseconds, ratios round by round."""

    part: str
    engine: str
    size: int
    batch: int
    threads: int
    model: str
    median: float
    low: float
    high: float
    beside: str
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    rounds: int


def main(argv: list[str]) -> None:
    """Measure the parts named, all unless some are, and write what is known so far."""
    warnings.simplefilter("ignore")
    LOGGER.setLevel(logging.ERROR)
    options = dict(a.split("=", 1) for a in argv if "=" in a)
    seconds, full = float(options.get("seconds", 15)), bool(int(options.get("full", 0)))
    chosen = [a for a in argv if "=" not in a] or list(PARTS)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "speed.csv"
    for part in chosen:
        found = []
        for record in PARTS[part](seconds, full):
            print(*record, flush=True)
            found.append(record)
        kept = [r for r in _read(file) if r.part != part]
        order = list(PARTS)
        records = sorted([*kept, *found], key=lambda r: order.index(r.part))
        with file.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([Record._fields, *records])
    records = _read(file)
    (RESULTS / "speed.md").write_text(page(records), encoding="utf-8")
    picture(records, RESULTS / "speed.png")


def engines(seconds: float, full: bool) -> Iterator[Record]:
    """Every model through every engine that is installed."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        files = {name: checkpoint(name, Path(folder)) for name in MODELS}
        cells = product((320, 640, 1280), (1, 8), (1, 2)) if full else _plan()
        for size, batch, threads in cells:
            for engine in START:
                if not full and (size, batch) != (640, 1) and engine not in COMMON:
                    continue
                if engine == "compile" and (size, batch, threads) != (640, 1, 2):
                    continue  # compiling takes a minute a model
                yield from _cell("engines", engine, files, size, batch, threads, seconds)


def pair(seconds: float, full: bool) -> Iterator[Record]:
    """YOLO11n and its StarNet form alone, for longer."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        files = {name: checkpoint(name, Path(folder)) for name in MODELS[:2]}
        for threads, engine in product((2, 1), COMMON):
            yield from _cell("pair", engine, files, 640, 1, threads, 2 * seconds)


def _cell(
    part: str, engine: str, files: Mapping[str, Path], size: int, batch: int, threads: int, seconds: float
) -> Iterator[Record]:
    """Models through one engine, under one set of conditions."""
    if module := _missing(engine):
        print(f"{engine} is left out: {module} is not installed")
        return
    times = timed({name: START[engine](file, size, batch, threads) for name, file in files.items()}, seconds)
    for kind, (stock, ours) in product(next(iter(times.values()))[0], PAIRS.items()):
        if stock in times:
            yield from records(
                part, kind, size, batch, threads, {name: [t[kind] for t in times[name]] for name in (stock, ours)}
            )


def _plan() -> list[tuple[int, int, int]]:
    """The size, batch and threads that are measured unless all are: one varies at a time."""
    return [(640, 1, 2), (640, 1, 1), (320, 1, 2), (1280, 1, 2), (640, 8, 2)]


def timed(runs: Mapping[str, Callable[[], Any]], seconds: float, most: int = MOST) -> dict[str, list[Any]]:
    """Interleave after a warm-up, for about `seconds`."""
    start = time.perf_counter()
    interleave(runs, WARM_UP, settle=0)
    a_round = 2 * (time.perf_counter() - start) / WARM_UP
    return interleave(runs, min(max(int(seconds / a_round), FEWEST), most))


def clock(kind: str, run: Callable[[], object]) -> Callable[[], dict[str, float]]:
    """Call `run` and say how many milliseconds that took."""

    def call() -> dict[str, float]:
        start = time.perf_counter()
        run()
        return {kind: (time.perf_counter() - start) * 1e3}

    return call


def records(
    part: str, engine: str, size: int, batch: int, threads: int, times: Mapping[str, list[float]]
) -> Iterator[Record]:
    """Turn times into records; the ratio is to the first, median to median, its quartiles round by round."""
    beside, first = next(iter(times.items()))
    for model, found in times.items():
        low, median, high = quartiles(found)
        ratio: tuple[float | None, ...] = (None, None, None)
        if model != beside:
            lower, _, upper = quartiles([a / b for a, b in zip(found, first)])
            ratio = (median / statistics.median(first), lower, upper)
        yield Record(part, engine, size, batch, threads, model, median, low, high, beside, *ratio, len(found))


def checkpoint(name: str, folder: Path) -> Path:
    """A model with random weights as a checkpoint."""
    torch.manual_seed(0)
    file = folder / f"{name}.pt"
    torch.save({"model": YOLO(f"{name}.yaml").model, "train_args": {}}, file)
    return file


def start_predict(file: Path, size: int, batch: int, threads: int, **options: Any) -> Callable[[], dict[str, float]]:
    """The stock `predict`, on noise."""
    model: Any = YOLO(file)
    images = [np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)] * batch
    arguments = {"imgsz": size, "device": "cpu", "verbose": False, "save": False, **options}
    model.predict(images, **arguments)

    def call() -> dict[str, float]:
        torch.set_num_threads(threads)  # Ultralytics' own choice is one fewer than there are cores
        start = time.perf_counter()
        result = model.predict(images, **arguments)[0]
        whole = (time.perf_counter() - start) * 1e3
        return {"predict": whole, "inference": result.speed["inference"] * batch}

    return call


def start_compile(file: Path, size: int, batch: int, threads: int) -> Callable[[], dict[str, float]]:
    """The stock `predict(compile=True)`."""
    call = start_predict(file, size, batch, threads, compile=True)
    return lambda: {"compile": call()["inference"]}


def start_torchscript(file: Path, size: int, batch: int, threads: int) -> Callable[[], dict[str, float]]:
    """TorchScript, as exported."""
    model = torch.jit.load(exported(file, "torchscript", size, batch))
    x = torch.rand(batch, 3, size, size)

    def run() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            model(x)

    return clock("torchscript", run)


def start_onnx(file: Path, size: int, batch: int, threads: int) -> Callable[[], dict[str, float]]:
    """ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = exported(file, "onnx", size, batch)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = {session.get_inputs()[0].name: np.random.rand(batch, 3, size, size).astype(np.float32)}
    return clock("onnx", lambda: session.run(None, x))


def start_openvino(file: Path, size: int, batch: int, threads: int) -> Callable[[], dict[str, float]]:
    """OpenVINO, in single precision, as PyTorch."""
    import openvino

    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    xml = next(Path(exported(file, "openvino", size, batch)).glob("*.xml"))
    model = openvino.Core().compile_model(xml, "CPU", config)
    x = np.random.rand(batch, 3, size, size).astype(np.float32)
    return clock("openvino", lambda: model(x))


def start_ncnn(file: Path, size: int, batch: int, threads: int) -> Callable[[], dict[str, float]]:
    """NCNN, an image at a time, as it works."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    parameters = next(Path(exported(file, "ncnn", size, 1)).glob("*.param"))
    net.load_param(str(parameters))
    net.load_model(str(parameters.with_suffix(".bin")))
    x = np.random.rand(3, size, size).astype(np.float32)

    def run() -> None:
        for _ in range(batch):
            with net.create_extractor() as extractor:
                extractor.input(net.input_names()[0], ncnn.Mat(x))
                for name in net.output_names():
                    extractor.extract(name)

    return clock("ncnn", run)


START = {
    "predict": start_predict,
    "compile": start_compile,
    "torchscript": start_torchscript,
    "onnx": start_onnx,
    "openvino": start_openvino,
    "ncnn": start_ncnn,
}


def exported(file: Path, format: str, size: int, batch: int) -> str:
    """The path of a model exported through the stock `export`."""
    return str(YOLO(file).export(format=format, imgsz=size, batch=batch, device="cpu"))


def _missing(engine: str) -> str:
    module = {"onnx": "onnxruntime", "openvino": "openvino", "ncnn": "ncnn"}.get(engine, "torch")
    try:
        importlib.import_module(module)
    except ImportError:
        return module
    return ""


class Levels(nn.Module):
    """The five levels of a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.levels = model.model[:5]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """All five feature maps."""
        found = []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found[1:]


def levels(seconds: float, full: bool) -> Iterator[Record]:
    """Timm's starnet_s1 beside our levels with its weights, at width 1.0."""
    import timm
    import yaml

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        weights = Path(folder, "weights.pt")
        torch.save(timm.create_model("starnet_s1").state_dict(), weights)
        theirs, last = (
            timm.create_model(
                "starnet_s1", features_only=True, pretrained=True, pretrained_cfg_overlay={"file": str(weights)}
            ).eval()
            for _ in range(2)
        )
        row = [-1, 1, "starnet_s1", {"width": 1.0, "pretrained": str(weights)}]
        stock = yaml.safe_load(
            yolo_starnet.model_yaml.names.find("yolo11n-starnet.yaml", yolo_starnet.backbones()).read_text()
        )
        model = tasks.DetectionModel({**stock, "scale": "n", "backbone": [row, *stock["backbone"][1:]]}, verbose=False)
    ours = Levels(model.eval().fuse()).to(memory_format=torch.channels_last)
    last = last.to(memory_format=torch.channels_last)
    for size, threads in ((640, 2), (640, 1), (320, 2), (1280, 2)):
        x = torch.rand(1, 3, size, size)
        y = x.contiguous(memory_format=torch.channels_last)
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for a, b in zip(theirs(x), ours(y)):
                assert (a - b).abs().max() <= 1e-4 * a.abs().max()
            runs = {
                "timm starnet_s1": clock("levels", lambda x=x: theirs(x)),
                "timm starnet_s1, channels-last": clock("levels", lambda y=y: last(y)),
                "yolo-starnet starnet_s1, fused": clock("levels", lambda y=y: ours(y)),
            }
            times = timed(runs, seconds)
        named = {name: [t["levels"] for t in found] for name, found in times.items()}
        yield from records("levels", "PyTorch", size, 1, threads, named)


def layers(seconds: float, full: bool) -> Iterator[Record]:
    """Where the time goes: the layers of YOLO11n and its StarNet form, fused and channels-last, by what they are."""
    models = {
        name: YOLO(f"{name}.yaml").model.eval().fuse().to(memory_format=torch.channels_last) for name in MODELS[:2]
    }
    image = torch.rand(1, 3, 640, 640).contiguous(memory_format=torch.channels_last)
    for threads in (2, 1):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            times = timed({name: lambda m=m: _by_part(m, image) for name, m in models.items()}, 2 * seconds)
        for kind in ("backbone", "SPPF and C2PSA", "neck", "head"):
            yield from records("layers", kind, 640, 1, threads, {n: [t[kind] for t in f] for n, f in times.items()})


def _by_part(model: nn.Module, x: Any) -> dict[str, float]:
    """The milliseconds that each part of a YOLO11 takes."""
    found = dict.fromkeys(("backbone", "SPPF and C2PSA", "neck", "head"), 0.0)
    part, outputs = "backbone", []
    for layer in model.model:
        name = type(layer).__name__
        part = {"SPPF": "SPPF and C2PSA", "Upsample": "neck", "Detect": "head"}.get(name, part)
        if layer.f != -1:
            x = outputs[layer.f] if isinstance(layer.f, int) else [x if j == -1 else outputs[j] for j in layer.f]
        start = time.perf_counter()
        x = layer(x)
        found[part] += (time.perf_counter() - start) * 1e3
        outputs.append(x)
    return found


def training(seconds: float, full: bool) -> Iterator[Record]:
    """A training step: forward, loss, backward and the optimizer."""
    for size, batch, threads in ((256, 16, 2), (256, 16, 1), (640, 4, 2)):
        torch.set_num_threads(threads)
        runs = {}
        for name in MODELS:
            runs[name] = clock("training", step(name, size, batch))
        times = timed(runs, seconds * 2)
        for stock, ours in PAIRS.items():
            pair = {name: [t["training"] for t in times[name]] for name in (stock, ours)}
            yield from records("training", "PyTorch", size, batch, threads, pair)


def step(name: str, size: int, batch: int, device: str = "cpu") -> Callable[[], None]:
    """A step of training on noise with eight boxes an image."""
    torch.manual_seed(0)
    model: Any = YOLO(f"{name}.yaml").model.to(device).train()
    model.args = get_cfg()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
    labels = 8 * batch
    data = {
        "img": torch.rand(batch, 3, size, size, device=device),
        "cls": torch.zeros(labels, 1, device=device),
        "bboxes": torch.rand(labels, 4, device=device) * 0.4 + 0.3,
        "batch_idx": torch.arange(batch, device=device).repeat_interleave(8).float(),
    }

    def run() -> None:
        optimizer.zero_grad()
        model(data)[0].sum().backward()
        optimizer.step()

    return run


def memory(seconds: float, full: bool) -> Iterator[Record]:
    """Peak memory in MB (in the columns of times) of a process that predicts."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        files = {name: checkpoint(name, Path(folder)) for name in MODELS}
        for engine, size, batch in (("predict", 640, 1), ("predict", 640, 8), ("onnx", 640, 1)):
            paths = {n: str(f) if engine == "predict" else exported(f, engine, size, batch) for n, f in files.items()}
            runs = {n: lambda p=p, s=size, b=batch: peak_memory(p, "detect", s, b, "cpu") for n, p in paths.items()}
            found = interleave(runs, 2, settle=0)
            for stock, ours in PAIRS.items():
                yield from records("memory", engine, size, batch, 1, {n: found[n] for n in (stock, ours)})


def floor(seconds: float, full: bool) -> Iterator[Record]:
    """What the convolutions cannot do without: FLOPs at the peak of a matrix product, bytes at that of a copy."""
    for threads in (1, 2):
        flops, bandwidth = peak(threads)
        for stock, ours in PAIRS.items():
            needs = {name: convolutions(name, 640) for name in (stock, ours)}
            yield from records("floor", "FLOPs", 640, 1, threads, {n: [f / flops] for n, (f, _) in needs.items()})
            yield from records("floor", "bytes", 640, 1, threads, {n: [b / bandwidth] for n, (_, b) in needs.items()})


def peak(threads: int) -> tuple[float, float]:
    """The best FLOPs and bytes in a millisecond that a large matrix product and a large copy reach."""
    torch.set_num_threads(threads)
    a, source = torch.rand(2048, 2048), torch.rand(1 << 26)
    target = torch.empty_like(source)
    times = timed({"product": clock("ms", lambda: a @ a), "copy": clock("ms", lambda: target.copy_(source))}, 5)
    best = {name: min(t["ms"] for t in found) for name, found in times.items()}
    return 2 * 2048**3 / best["product"], 2 * source.nbytes / best["copy"]


def convolutions(name: str, size: int) -> tuple[float, float]:
    """FLOPs, two a multiplication, and bytes read and written by the convolutions of a fused model."""
    model = YOLO(f"{name}.yaml").model.eval().fuse()
    flops = moved = 0.0

    def count(conv: nn.Module, inputs: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        nonlocal flops, moved
        flops += 2 * out.numel() * conv.weight[0].numel()
        moved += sum(t.nbytes for t in (inputs[0], conv.weight, out))

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.rand(1, 3, size, size))
    return flops, moved


def plugin(seconds: float, full: bool) -> Iterator[Record]:
    """What stock models pay for the plugin: parsing, forward, import."""
    yaml = YOLO("yolo11n.yaml").model.yaml
    model = YOLO("yolo11n.yaml").model.eval().fuse()
    x = torch.rand(1, 3, 64, 64)  # small, lest the convolutions hide what the wrapper takes
    torch.set_num_threads(1)
    stages: dict[str, Callable[[], object]] = {
        "parse": lambda: tasks.parse_model(deepcopy(yaml), 3, verbose=False),
        "forward": lambda: model(x),
    }
    for stage, run in stages.items():
        timer = clock("ms", run)

        def without(run: Callable[[], object] = run, timer: Callable[[], dict[str, float]] = timer) -> dict[str, float]:
            yolo_starnet.deactivate()
            try:
                run()  # patching empties caches of Python's own, so that the first call takes longer
                return timer()
            finally:
                yolo_starnet.activate()

        def active(run: Callable[[], object] = run, timer: Callable[[], dict[str, float]] = timer) -> dict[str, float]:
            yolo_starnet.deactivate()
            yolo_starnet.activate()
            run()
            return timer()

        with torch.inference_mode():
            times = timed({"without": without, "with": active}, 2 * seconds, 1000)
        yield from records("plugin", stage, 64, 1, 1, {n: [t["ms"] for t in found] for n, found in times.items()})
    imports = {
        name: clock("ms", lambda code=code: subprocess.run([sys.executable, "-c", code], check=True))
        for name, code in (
            ("without", "from ultralytics import YOLO"),
            ("with", "import yolo_starnet; from ultralytics import YOLO"),
        )
    }
    times = interleave(imports, 2 * FEWEST, settle=0)
    yield from records("plugin", "import", 0, 0, 1, {n: [t["ms"] for t in found] for n, found in times.items()})


PARTS: dict[str, Callable[[float, bool], Iterable[Record]]] = {
    "pair": pair,
    "engines": engines,
    "levels": levels,
    "layers": layers,
    "training": training,
    "memory": memory,
    "floor": floor,
    "plugin": plugin,
}
UNITS = {"memory": "MB"}


def _read(file: Path) -> list[Record]:
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as rows:
        return [_record(row) for row in csv.DictReader(rows)]


def _record(row: dict[str, str]) -> Record:
    whole, words = {"size", "batch", "threads", "rounds"}, {"part", "engine", "model", "beside"}
    return Record(**{k: v if k in words else int(v) if k in whole else float(v) if v else None for k, v in row.items()})  # type: ignore[arg-type]  # the fields of a CSV row


def page(records: list[Record]) -> str:
    """The figures as Markdown."""
    sizes = {name: figures.of_file(f"{name}.yaml") for name in MODELS}
    counted = "; ".join(f"{n} {f.parameters / 1e6:.2f} M, {f.gflops:.1f} GFLOPs" for n, f in sizes.items())
    lines = [
        "# Speed",
        "",
        "Written by `benchmarks/speed.py`. Medians with the first and third quartile; models take turns in one "
        "process, and of each turn the second call counts. A ratio is that of medians to the stock model beside it, "
        "its quartiles those of the ratios round by round. Milliseconds are of a whole batch.",
        "",
        f"{_processor()}, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"Ultralytics {ultralytics.__version__}. {counted}.",
    ]
    for part in PARTS:
        found = [r for r in records if r.part == part]
        if not found:
            continue
        unit = UNITS.get(part, "ms")
        lines += ["", f"## {part.capitalize()}", "", (PARTS[part].__doc__ or "").splitlines()[0], ""]
        lines += [f"| | pixels | batch | threads | model | {unit} | ratio |", "| --- " * 7 + "|"]
        for r in found:
            name = ENGINES.get(r.engine, r.engine) if part in ("pair", "engines") else r.engine
            ratio = "" if r.ratio is None else f"**{r.ratio:.2f}** ({r.ratio_low:.2f} to {r.ratio_high:.2f})"
            times = f"{r.median:.1f} ({r.low:.1f} to {r.high:.1f})"
            lines.append(f"| {name} | {r.size} | {r.batch} | {r.threads} | {r.model} | {times} | {ratio} |")
    lines += ["", *_growth(records)]
    return "\n".join(lines) + "\n"


def _growth(records: list[Record]) -> list[str]:
    """How latency grows with the pixel count, as the exponent of a power law from 320 to 1280 pixels."""
    at = {(r.engine, r.model, r.size): r.median for r in records if (r.part, r.batch, r.threads) == ("engines", 1, 2)}
    lines = ["## Growth with the pixel count", "", "| | model | exponent, 320 to 1280 pixels |", "| --- | --- | --- |"]
    for engine, model in product(ENGINES, MODELS):
        small, large = at.get((engine, model, 320)), at.get((engine, model, 1280))
        if small and large:
            lines.append(f"| {ENGINES[engine]} | {model} | {math.log(large / small) / math.log(16):.2f} |")
    return lines if len(lines) > 4 else []


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def picture(records: list[Record], file: Path) -> None:
    """Bars of every model in every engine at 640 pixels, batch 1, two threads."""
    from matplotlib.figure import Figure

    at = {(r.engine, r.model): r for r in records if r[:1] + r[2:5] == ("engines", 640, 1, 2)}
    shown = [engine for engine in ENGINES if (engine, MODELS[0]) in at]
    if not shown:
        return
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(MODELS)
    colors = ["#9ecae1", "#08519c", "#fdd0a2", "#d94801", "#c7e9c0", "#238b45"]
    for i, model in enumerate(MODELS):
        found = [at[engine, model] for engine in shown]
        spread = [[r.median - r.low for r in found], [r.high - r.median for r in found]]
        places = [j + i * width for j in range(len(shown))]
        axes.bar(places, [r.median for r in found], width, yerr=spread, label=model, color=colors[i], capsize=2)
    axes.set_xticks([j + 0.4 - width / 2 for j in range(len(shown))], shown)
    axes.set_ylabel("ms an image")
    axes.set_title("640 x 640 pixels, batch 1, two CPU threads; median and quartiles")
    axes.legend(ncols=3)
    figure.savefig(file, dpi=130)


if __name__ == "__main__":
    main(sys.argv[1:])
