"""A model's numbers: with optional parts and without, in half precision, and as a copy."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.torch_utils import ModelEMA

from yolo_starnet.networks import memory, onednn
from yolo_starnet.networks.starnet import StarBlock

BACKBONES = ["starnet_s050", "starnet_fit", "timm_mobilenetv4_conv_small"]
HALF_MAX = 65504.0
"""The largest number of float16."""


def copied_by_pickle(model: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(model))


def averaged(model: nn.Module) -> nn.Module:
    return ModelEMA(model).ema


COPIES = [copy.deepcopy, copied_by_pickle, averaged, nn.Module.share_memory]


def run(model: nn.Module) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.inference_mode():
        out: torch.Tensor = model.eval()(torch.rand(1, 3, 64, 96))[0]
    return out


def build(backbone: str) -> DetectionModel:
    torch.manual_seed(0)
    model: DetectionModel = YOLO(f"yolov8n-{backbone}.yaml").model
    return model


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_copy_is_whole_and_stands_alone(backbone: str, fused: bool):
    model = build(backbone).eval()
    model = model.fuse(verbose=False) if fused else model
    expected = run(model)  # a copy of a model that has run: its packed weights must not be the copy's
    for make in COPIES:
        other = make(model)
        assert torch.equal(run(other), expected), make
        if other is not model:
            for weight in other.parameters():
                weight.data.mul_(1.5)
            assert not torch.equal(run(other), expected), make
            assert torch.equal(run(model), expected), make


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["half", "bfloat16"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_lower_precision_changes_no_type_and_few_digits(backbone: str, dtype: torch.dtype, fused: bool):
    model = build(backbone).eval()
    model = model.fuse(verbose=False) if fused else model
    image, found = torch.rand(1, 3, 64, 96), []
    model.model[4].register_forward_hook(lambda _, args, out: found.append(out))
    with torch.inference_mode():
        model(image)
        model.to(dtype)(image.to(dtype))
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    expected, low = found
    assert low.dtype == dtype
    assert (low.float() - expected).norm() <= 10 * torch.finfo(dtype).eps * expected.norm()


@pytest.fixture(params=["packed convolutions", "in-place results", "channels-last"])
def without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Switches one optional part off."""

    def switch_off() -> None:
        if request.param == "packed convolutions":
            monkeypatch.setattr(onednn, "is_usable", lambda: False)
        elif request.param == "in-place results":
            monkeypatch.setattr(memory, "_is_recording", lambda: True)
        else:
            monkeypatch.setattr(memory, "CHANNELS_LAST", torch.contiguous_format)

    return switch_off


@pytest.mark.parametrize("backbone", BACKBONES[:2])
def test_weights_losses_and_boxes_are_those_without_the_optional_part(backbone: str, without: Callable[[], None]):
    def numbers() -> list[torch.Tensor]:
        model = build(backbone)
        batch = {
            "img": torch.rand(2, 3, 64, 64),
            "cls": torch.zeros(2, 1),
            "bboxes": torch.tensor([[0.5, 0.5, 0.4, 0.4]] * 2),
            "batch_idx": torch.tensor([0.0, 1.0]),
        }
        model.args = get_cfg()
        weights = torch.cat([w.flatten() for w in model.parameters()]).detach().clone()
        loss = model.train()(batch)[0].detach()
        return [weights, loss, run(model.eval().fuse(verbose=False))]

    expected = numbers()
    without()
    weights, loss, boxes = numbers()
    assert torch.equal(weights, expected[0])
    torch.testing.assert_close(loss, expected[1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(boxes, expected[2], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("growth", [1, 100], ids=["as initialised", "a hundred times as large"])
def test_the_star_product_fits_float16(growth: int):
    block = StarBlock(64).eval()
    seen: list[float] = []
    block.g.register_forward_pre_hook(lambda _, args: seen.append(args[0].abs().max().item()))
    with torch.no_grad():
        for branch in (block.f1, block.f2):  # as large as training makes them: at most 13.7 in 580 steps of SGD
            branch.weight.mul_(13.7 * growth / branch(block.dwconv(torch.randn(2, 64, 40, 40))).abs().max())
        block(torch.randn(2, 64, 40, 40))
    assert 0 < seen[0] < HALF_MAX
