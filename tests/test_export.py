"""Exported files: the stock `export` writes them, and their runtimes give PyTorch's boxes without this package."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics import YOLO
from ultralytics.utils import DEFAULT_CFG_DICT

from yolo_starnet.networks.starnet import StarBlock

HALF = {"quantize": 16} if "quantize" in DEFAULT_CFG_DICT else {"half": True}
RUNTIMES = {
    "torchscript": ("torch",),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "ncnn": ("ncnn", "pnnx"),
    "mnn": ("MNN", "onnx"),
    "executorch": ("executorch",),
    "litert": ("litert_torch", "ai_edge_litert"),
}
CHILD = """
import sys
sys.modules["yolo_starnet"] = None  # an import of it fails
import numpy as np
import torch
from ultralytics import YOLO
if "openvino" in sys.argv[1]:  # its default on CPUs that have bfloat16 is to compute in that
    import openvino
    compile_model = openvino.Core.compile_model
    openvino.Core.compile_model = lambda self, *args, config, **more: compile_model(
        self, *args, config={**config, "INFERENCE_PRECISION_HINT": "f32"}, **more
    )
yolo = YOLO(sys.argv[1], task="detect")
yolo.predict(sys.argv[2], imgsz=160, verbose=False)
network, (image,) = yolo.predictor.model, next(iter(yolo.predictor.dataset))[1]
found = network(yolo.predictor.preprocess([image]))
found = found[0] if isinstance(found, (list, tuple)) else found
np.save(sys.argv[3], torch.as_tensor(found)[0].float().numpy())
"""


@pytest.fixture
def yolo(trained: Path, tmp_path: Path) -> YOLO:
    """A trained model in the folder of the test, where its exports are written."""
    file = tmp_path / "best.pt"
    file.write_bytes((trained / "weights" / "best.pt").read_bytes())
    return YOLO(file)


def raw(yolo: YOLO, photograph: Path, size: int | tuple[int, int]) -> np.ndarray:
    """Boxes and scores before suppression, which keeps an arbitrary one of two boxes of the same score."""
    yolo.predict(photograph, imgsz=size, rect=False, verbose=False)
    network, (image,) = yolo.predictor.model, next(iter(yolo.predictor.dataset))[1]
    found = network(yolo.predictor.preprocess([image]))
    found = found[0] if isinstance(found, (list, tuple)) else found
    return torch.as_tensor(found)[0].detach().float().numpy()


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found[:4] - expected[:4]).max() <= 1  # pixels
    assert np.abs(found[4:] - expected[4:]).max() <= 0.01


SLOW = {"executorch", "litert", "torchscript"}
"""TorchScript runs in the test of an embedded NMS, too."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in RUNTIMES])
def test_the_boxes_are_pytorchs_in_a_process_without_this_package(name: str, yolo: YOLO, photograph: Path, python):
    for module in RUNTIMES[name]:
        pytest.importorskip(module, reason=f"{name} runs on {module}, which is not installed")
    file = yolo.export(format=name, imgsz=160)
    python("-c", CHILD, file, str(photograph), "found.npy")
    assert_same(np.load("found.npy"), raw(yolo, photograph, 160))


def test_a_dynamic_onnx_file_takes_images_of_any_size(yolo: YOLO, photograph: Path):
    onnx = YOLO(yolo.export(format="onnx", imgsz=64, dynamic=True), task="detect")
    for size in ((96, 224), (160, 128)):
        assert_same(raw(onnx, photograph, size), raw(yolo, photograph, size))


def test_fp16_halves_the_file_and_keeps_the_boxes(yolo: YOLO, photograph: Path):
    whole = Path(yolo.export(format="onnx", imgsz=160)).stat().st_size
    half = yolo.export(format="onnx", imgsz=160, **HALF)
    assert Path(half).stat().st_size < 0.6 * whole
    assert_same(raw(YOLO(half, task="detect"), photograph, 160), raw(yolo, photograph, 160))


@pytest.mark.parametrize("name", ["torchscript", "onnx"])
def test_an_embedded_nms_keeps_the_same_boxes(name: str, yolo: YOLO, photograph: Path):
    # The threshold lies in the widest gap between scores, so that rounding decides nothing.
    scores = np.sort(raw(yolo, photograph, 160)[4:].max(0))[::-1][:40]
    gap = int(np.argmax(scores[:-1] - scores[1:]))
    given: dict[str, Any] = {"imgsz": 160, "conf": float(scores[gap : gap + 2].mean()), "iou": 0.99}
    file = yolo.export(format=name, nms=True, **given)
    expected, found = (
        model.predict(photograph, rect=False, verbose=False, **given)[0].boxes.data
        for model in (yolo, YOLO(file, task="detect"))
    )
    assert 0 < len(expected) == len(found)
    order = [boxes[boxes[:, 4].argsort()] for boxes in (expected, found)]
    assert torch.allclose(*order, atol=1e-2)


def test_a_traced_block_is_the_same_with_and_without_gradients():
    block, image = StarBlock(8).eval(), torch.rand(1, 8, 12, 12)
    torch.jit.trace(block, image)  # records with gradients and compares without, as NCNN's pnnx does
    with torch.no_grad():
        torch.jit.trace(block, image)
