"""The engines of speed.py: each function makes a model ready to run on noise and returns the timed call.

Every function takes a checkpoint, the height and width of the image, the batch and the number of threads. The call
returns milliseconds of a whole batch by what was timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ultralytics import YOLO

Timed = Callable[[], dict[str, float]]
"""A call that returns the milliseconds it took, by what was timed."""
ENGINES = {
    "predict": "PyTorch, the whole of a stock `predict`",
    "inference": "PyTorch, the inference part of it",
    "compile": "PyTorch, `predict(compile=True)`, the inference part",
    "torchscript": "TorchScript",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "ncnn": "NCNN",
}
"""What is timed, in the words of the report."""
MODULES = {"onnx": "onnxruntime", "openvino": "openvino", "ncnn": "ncnn"}
"""The modules that engines need beside PyTorch."""


def clock(kind: str, run: Callable[[], object]) -> Timed:
    """Time `run`."""

    def call() -> dict[str, float]:
        start = time.perf_counter()
        run()
        return {kind: (time.perf_counter() - start) * 1e3}

    return call


def missing(engine: str) -> str:
    """The module that an engine needs and that is not installed, '' if all are."""
    module = MODULES.get(engine, "torch")
    return "" if util.find_spec(module) else module


def exported(file: Path, format: str, size: int, batch: int) -> str:
    """The path of a checkpoint exported by the stock `export`."""
    return str(YOLO(file).export(format=format, imgsz=size, batch=batch, device="cpu"))


def start_predict(file: Path, size: int, batch: int, threads: int, **options: Any) -> Timed:
    """The stock `predict`."""
    model: Any = YOLO(file)
    images = [np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)] * batch
    arguments = {"imgsz": size, "device": "cpu", "verbose": False, "save": False, **options}
    model.predict(images, **arguments)

    def call() -> dict[str, float]:
        torch.set_num_threads(threads)  # Ultralytics chooses one fewer than there are cores
        start = time.perf_counter()
        result = model.predict(images, **arguments)[0]
        whole = (time.perf_counter() - start) * 1e3
        return {"predict": whole, "inference": result.speed["inference"] * batch}

    return call


def start_compile(file: Path, size: int, batch: int, threads: int) -> Timed:
    """The stock `predict(compile=True)`."""
    call = start_predict(file, size, batch, threads, compile=True)
    return lambda: {"compile": call()["inference"]}


def start_torchscript(file: Path, size: int, batch: int, threads: int) -> Timed:
    """The exported TorchScript file."""
    model = torch.jit.load(exported(file, "torchscript", size, batch))
    x = torch.rand(batch, 3, size, size)

    def run() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            model(x)

    return clock("torchscript", run)


def start_onnx(file: Path, size: int, batch: int, threads: int) -> Timed:
    """ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = exported(file, "onnx", size, batch)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = {session.get_inputs()[0].name: np.random.rand(batch, 3, size, size).astype(np.float32)}
    return clock("onnx", lambda: session.run(None, x))


def start_openvino(file: Path, size: int, batch: int, threads: int) -> Timed:
    """OpenVINO in float32, as PyTorch."""
    import openvino

    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    xml = next(Path(exported(file, "openvino", size, batch)).glob("*.xml"))
    model = openvino.Core().compile_model(xml, "CPU", config)
    x = np.random.rand(batch, 3, size, size).astype(np.float32)
    return clock("openvino", lambda: model(x))


def start_ncnn(file: Path, size: int, batch: int, threads: int) -> Timed:
    """NCNN, which takes one image at a time."""
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


START: dict[str, Callable[[Path, int, int, int], Timed]] = {
    "predict": start_predict,
    "compile": start_compile,
    "torchscript": start_torchscript,
    "onnx": start_onnx,
    "openvino": start_openvino,
    "ncnn": start_ncnn,
}
