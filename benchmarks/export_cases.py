"""The cases of export_formats.py: which checkpoint goes to which format, and where the results lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from yolo_starnet import cli
from yolo_starnet.demo import datasets

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "export"
PHOTOGRAPHS = ("bus.jpg", "zidane.jpg")
SIZE = {"classify": 224}
"""Height and width of the exported image in pixels; 640 for other tasks."""
CONF = 0.01
"""Least confidence of the candidates that are compared before suppression."""
PREDICT_CONF = 0.1
"""Least confidence of the boxes that are compared after suppression."""

MODELS = {**cli.MODELS, "end2end": "yolo26n-starnet.yaml", "stock": "yolo11n.yaml"}
"""The trained models, by the names of their checkpoints; `end2end` and `stock` are detectors."""


class Format(NamedTuple):
    """A format of Ultralytics: its name, the module that it cannot run without, the packages that the page names."""

    name: str
    module: str
    packages: tuple[str, ...]


FORMATS = {
    "torchscript": Format("TorchScript", "torch", ("torch",)),
    "onnx": Format("ONNX", "onnxruntime", ("onnxruntime",)),
    "openvino": Format("OpenVINO", "openvino", ("openvino",)),
    "ncnn": Format("NCNN", "pnnx", ("ncnn", "pnnx")),
    "mnn": Format("MNN", "MNN", ("MNN",)),
    "litert": Format("LiteRT", "litert_torch", ("ai-edge-litert", "litert-torch")),
    "executorch": Format("ExecuTorch", "executorch", ("executorch",)),
    "paddle": Format("PaddlePaddle", "x2paddle", ("paddlepaddle", "x2paddle")),
    "saved_model": Format("TensorFlow SavedModel", "onnx2tf", ("tensorflow", "onnx2tf")),
    "pb": Format("TensorFlow GraphDef", "onnx2tf", ("tensorflow", "onnx2tf")),
    "edgetpu": Format("TensorFlow Edge TPU", "onnx2tf", ("tensorflow", "onnx2tf")),
    "engine": Format("TensorRT", "tensorrt", ("tensorrt",)),
    "coreml": Format("CoreML", "coremltools", ("coremltools",)),
    "coreai": Format("Core AI", "coreai_torch", ("coreai-torch",)),
    "imx": Format("IMX500", "model_compression_toolkit", ("model-compression-toolkit", "imx500-converter")),
    "rknn": Format("RKNN", "rknn", ("rknn-toolkit2",)),
    "axelera": Format("Axelera", "axelera", ("axelera-devkit",)),
    "deepx": Format("DEEPX", "dx_com", ("dx_com",)),
    "qnn": Format("Qualcomm QNN", "onnxruntime_qnn", ("onnxruntime-qnn",)),
    "hailo": Format("Hailo", "hailo_sdk_client", ()),
    "ascend": Format("Huawei Ascend", "acl", ()),
    "xilinx": Format("AMD Xilinx", "quark", ("amd-quark",)),
}
INT8 = {"quantize": 8, "data": "shapes"}


class Case(NamedTuple):
    """One row of the page: a checkpoint, a format and the arguments of `export`."""

    model: str
    format: str
    arguments: dict[str, Any] = {}  # noqa: RUF012  # never changed
    float32: bool = False
    """Whether OpenVINO must compute in float32; on CPUs with bfloat16 it chooses that otherwise."""

    @property
    def key(self) -> str:
        """The name of the case in build/export."""
        words = [self.model, self.format]
        words += [k if v is True else f"{k}={v}" for k, v in self.arguments.items() if k != "data"]
        return "-".join([*words, *(["float32"] if self.float32 else [])]).replace("quantize=", "")

    @property
    def task(self) -> str:
        """The task of the checkpoint."""
        return self.model if self.model in datasets.SETS else "detect"

    @property
    def size(self) -> int:
        """Height and width of the image."""
        return SIZE.get(self.task, 640)

    @property
    def validated(self) -> bool:
        """Whether its mAP is measured, because it does not compute in float32 throughout."""
        return self.calibrated or (self.model, self.format, self.float32) == ("detect", "openvino", False)

    @property
    def calibrated(self) -> bool:
        """Whether mAP judges it, because its numbers differ from PyTorch's by design."""
        return self.arguments.get("quantize") in {8, "w8a16", "w8a32"}


PLAIN = ("torchscript", "onnx", "openvino", "ncnn", "mnn", "litert", "executorch", "paddle", "saved_model")
CASES = [
    Case("detect", "torchscript"),
    Case("detect", "torchscript", {"nms": True}),
    Case("detect", "onnx"),
    Case("detect", "onnx", {"dynamic": True}),
    Case("detect", "onnx", {"nms": True}),
    Case("detect", "onnx", {"quantize": 16}),
    Case("detect", "onnx", INT8),
    Case("detect", "openvino", float32=True),
    Case("detect", "openvino"),
    Case("detect", "openvino", {"dynamic": True}, True),
    Case("detect", "openvino", {"nms": True}, True),
    Case("detect", "openvino", {"quantize": 16}, True),
    Case("detect", "openvino", INT8),
    Case("detect", "ncnn"),
    Case("detect", "ncnn", {"quantize": 16}),
    Case("detect", "mnn"),
    Case("detect", "mnn", {"quantize": 16}),
    Case("detect", "mnn", {"quantize": 8}),
    Case("detect", "litert"),
    Case("detect", "litert", {"quantize": "w8a32"}),
    Case("detect", "litert", {"quantize": "w8a16", "data": "shapes"}),
    Case("detect", "litert", INT8),
    Case("detect", "executorch"),
    Case("detect", "paddle"),
    Case("detect", "saved_model"),
    Case("detect", "pb"),
    *(Case("end2end", f, {"nms": False}, f == "openvino") for f in ("onnx", "openvino", "mnn")),
    *(
        Case(task, f, float32=f == "openvino")
        for task in ("segment", "pose", "obb", "classify", "semantic", "depth")
        for f in PLAIN
    ),
    Case("detect", "edgetpu", {"data": "shapes"}),
    *(Case("detect", f) for f in ("engine", "coreml", "coreai")),
    *(Case("detect", f, {"data": "shapes"}) for f in ("imx", "rknn", "axelera", "deepx", "hailo")),
    Case("detect", "qnn", {"quantize": "w8a16", "data": "shapes"}),
    *(Case("detect", f) for f in ("ascend",)),
    Case("detect", "xilinx", {"data": "shapes"}),
]


def result_file(case: Case) -> Path:
    """The file of a result."""
    return BUILD / "results" / f"{case.key}.json"


def result(case: Case) -> dict[str, Any]:
    """The result of a case, empty where there is none."""
    return json.loads(result_file(case).read_text()) if result_file(case).is_file() else {}
