"""How large the weights before a BatchNorm are."""

from typing import Any

import pytest
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.nn.modules import Conv

from yolo_starnet import plugins
from yolo_starnet.model_yaml import names
from yolo_starnet.model_yaml.expand import LEVELS
from yolo_starnet.transplanting import norms, student
from yolo_starnet.transplanting.adapter import fold


def trained(stock: str, backbone: str) -> tuple[Any, list[nn.Module]]:
    """A student after a training, as far as sizes go, and what it trained."""
    torch.manual_seed(0)
    name, args = names.parse_backbone(backbone, plugins.table())
    model = student.build(YOLO(stock).model, name, args).model.double().eval()
    learned = norms.learned(model)
    for module in (m for part in learned for m in part.modules()):
        if isinstance(module, nn.Conv2d):
            module.weight.data *= 8
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.5)
            module.running_var.uniform_(0.5, 20)
    fold(model)
    return model, learned


def run(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1)).double())[0]


BACKBONES = ["starnet_fit", "starnet_s1", "timm_lcnet_050"]


def size(conv: nn.Conv2d) -> float:
    """How large its weights are, of those of a new convolution of PyTorch's."""
    fresh = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, groups=conv.groups)
    return float(conv.weight.norm() / fresh.weight.norm())


@torch.no_grad()
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("stock", ["yolo11n.yaml", "yolov8n.yaml"])
def test_weights_are_half_as_large_as_pytorchs_initial_ones_and_behind_adapters_as_large(stock: str, backbone: str):
    model, learned = trained(stock, backbone)
    before = run(model)
    assert norms.restore(model, learned) > 15
    torch.testing.assert_close(run(model), before, rtol=1e-6, atol=1e-6)
    assert size(next(m for m in model.modules() if isinstance(m, nn.Conv2d))) == pytest.approx(0.5, rel=0.1)
    behind = [module for module in learned[LEVELS:] if isinstance(module, Conv)]
    assert len(behind) >= 3  # what takes P3, P4 and P5
    assert [size(module.conv) for module in behind] == pytest.approx([1.0] * len(behind), rel=0.1)


def test_what_a_transplant_trains_are_the_new_rows_and_the_rows_behind_adapters():
    model = student.build(YOLO("yolo11n.yaml").model, "starnet_fit").model
    learned = norms.learned(model)
    # Five levels, the row that restores the channels of P5, and what takes it, P4 and P3.
    expected = {f"model.{row}" for row in range(6)} | {f"model.{row}.cv1" for row in (6, 10, 13)}
    assert {name for name, module in model.named_modules() if module in learned} == expected


def test_a_convolution_whose_output_goes_elsewhere_too_stays_as_it_is_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, log: list[str]
):
    model, learned = trained("yolo11n.yaml", "starnet_fit")
    stem = type(model.model[0])
    monkeypatch.setattr(stem, "forward", lambda self, x: self.bn(y := self.conv(x)) + y)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert norms.restore(model, learned) == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert any("stay as large as the transplant left them" in line for line in log)
