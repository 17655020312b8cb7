"""A fused model convolves the maps that its neck joins before it upsamples one of them."""

import inspect
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.utils.torch_utils import get_flops

from conftest import REFERENCE
from yolo_starnet.patching.joined import JoinedConv

Write = Callable[[tuple[str, str]], str]
Run = Callable[..., subprocess.CompletedProcess[str]]

NAMES = {
    "v8": "yolov8n-starnet.yaml",
    "11": "yolo11n-starnet_fit.yaml",
    "12": "yolo12n-starnet.yaml",
    "26-pose": "yolo26n-starnet_fit-pose.yaml",
    "11-seg-timm": "yolo11n-timm_lcnet_050-seg.yaml",
}


def build(model: Any) -> Any:
    """A model whose BatchNorms have statistics of their own, as those of a trained one."""
    torch.manual_seed(0)
    network: Any = YOLO(model, verbose=False).model.eval()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return network


def fuse(network: nn.Module) -> Any:
    """The model fused, as `predict` and `export` do it, beside the one that stays as it is."""
    return deepcopy(network).fuse(verbose=False).eval()


def run(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """What a model predicts for each place."""
    with torch.no_grad():
        result = network.eval()(image)
    while not isinstance(result, torch.Tensor):
        result = result[0]
    return result


def joins(network: Any) -> int:
    """How many convolutions take their two maps apart."""
    return sum(isinstance(module, JoinedConv) for module in network.modules())


def same(network: nn.Module, fused: nn.Module, tolerance: float = 1e-5, size: tuple[int, int] = (96, 96)) -> None:
    """Check that two models predict the same."""
    image = torch.rand(2, 3, *size)
    expected = run(network, image)
    assert (run(fused, image) - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the reference YAML with one change."""

    def write(change: tuple[str, str]) -> str:
        before, after = change
        assert REFERENCE.count(before) == 1
        file = tmp_path / "yolo11n-changed.yaml"
        file.write_text(REFERENCE.replace(before, after))
        return str(file)

    return write


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("size", [(128, 192), (96, 96)], ids=str)
def test_both_joins_of_a_neck_compute_the_same(name: str, size: tuple[int, int]):
    network = build(name)
    fused = fuse(network)
    assert (joins(network), joins(fused)) == (0, 2)
    same(network, fused, size=size)


def test_ultralytics_counts_the_operations_that_are_left():
    network = build("yolo11n-starnet_fit.yaml")
    as_in_stock = inspect.unwrap(type(network).fuse)(deepcopy(network), verbose=False)
    # At 640 px, the convolutions of rows 9 and 12 took 256 channels of 40 x 40 and 128 of 80 x 80; three of four go.
    saved = 2 * 0.75 * (256 * 128 * 40**2 + 128 * 64 * 80**2) / 1e9
    assert get_flops(as_in_stock) - get_flops(fuse(network)) == pytest.approx(saved, rel=0.02)


def test_a_stock_model_stays_as_it_is():
    fused = fuse(build("yolo11n.yaml"))
    assert joins(fused) == 0
    assert sum(isinstance(row, nn.Upsample) for row in fused.model) == 2


UPSAMPLE = '  - [-1, 1, nn.Upsample, [None, 2, "nearest"]]\n  - [[-1, 2]'
NECK = "  - [-1, 2, C3k2, [256, False]] # 12"
DETECT = "  - [[12, 15, 18], 1, Detect"
KEPT = {
    "large-map-goes-to-the-head-too": (DETECT, DETECT.replace("12", "10")),
    "joined-map-goes-to-the-head-too": (DETECT, DETECT.replace("12", "11")),
    "smoothly-upsampled": (UPSAMPLE, UPSAMPLE.replace("nearest", "bilinear")),
    "block-of-another-kind": (NECK, NECK.replace("C3k2", "C3")),
}
"""A change of the rows behind which the second join of the reference YAML is none."""


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT.keys())
def test_rows_stay_where_the_maps_are_needed_otherwise(write: Write, change: tuple[str, str]):
    network = build(write(change))
    fused = fuse(network)
    assert joins(fused) == 1
    assert [type(row) for row in fused.model][10:12] == [type(row) for row in network.model][10:12]
    same(network, fused)


def test_the_upsampled_map_may_come_second(write: Write):
    network = build(write(("[[-1, 2], 1, Concat", "[[2, -1], 1, Concat")))
    fused = fuse(network)
    assert joins(fused) == 2
    same(network, fused)


def test_a_convolution_of_another_class_stays():
    class QuantizedConv2d(nn.Conv2d):
        """As a training for INT8 puts it in place of a plain one."""

    network = build("yolo11n-starnet_fit.yaml")
    network.model[12].cv1.conv.__class__ = QuantizedConv2d
    assert joins(fuse(network)) == 1


def test_a_fused_model_can_be_fused_again_saved_and_loaded_restrictedly(python: Run, tmp_path: Path):
    yolo: Any = YOLO("yolo11n-starnet_fit.yaml")
    yolo.fuse()
    yolo.model.fuse()
    assert joins(yolo.model) == 2
    yolo.save(tmp_path / "fused.pt")
    same(yolo.model.half().float(), YOLO(tmp_path / "fused.pt").model, 1e-6)
    code = "from ultralytics import YOLO; print(type(YOLO('fused.pt').model.model[12].cv1).__name__)"
    assert "JoinedConv" in python("-c", f"import yolo_starnet; {code}", ULTRALYTICS_SAFE_LOAD="1").stdout
