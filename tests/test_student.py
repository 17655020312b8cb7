"""A trained model on another backbone, before its training."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.nn import tasks

from yolo_starnet.errors import BackboneError
from yolo_starnet.transplanting import student
from yolo_starnet.transplanting.adapter import AdaptedConv2d, fold

STOCK = [
    *(f"yolo11n{task}.yaml" for task in ("", "-seg", "-pose", "-obb", "-cls")),
    *(f"yolo26n{task}.yaml" for task in ("", "-seg", "-sem", "-depth", "-cls")),
    *("yolov5n.yaml", "yolov6n.yaml", "yolov8n.yaml", "yolov8n-p2.yaml", "yolov8n-p6.yaml", "yolov9t.yaml"),
    *("yolov10n.yaml", "yolo12n.yaml"),
]
"""Models whose kept rows take their levels in different ways."""


def trained(name: str) -> Any:
    """A stock model whose BatchNorms have the statistics of a trained one."""
    torch.manual_seed(0)
    model = YOLO(name).model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model


def tensors(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else ()
    return [tensor for value in values for tensor in tensors(value)]


@pytest.mark.parametrize("name", STOCK)
def test_every_row_that_stays_keeps_its_tensors_and_folding_changes_no_output(name: str):
    model = trained(name)
    new = student.build(model, "starnet_fit")
    assert not new.left
    assert new.carried == sum(len(row.state_dict()) for row in model.model) - new_rows(model, new)
    image = torch.rand(1, 3, 64, 64).double()
    network = new.model.double().eval()
    with torch.no_grad():
        before = tensors(network(image))
        fold(network)
        for output, expected in zip(tensors(network(image)), before, strict=True):
            torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-9)
    rebuilt = type(model)(deepcopy(network.yaml), ch=3, verbose=False)
    assert {k: v.shape for k, v in rebuilt.state_dict().items()} == {
        k: v.shape for k, v in network.state_dict().items()
    }


def new_rows(model: Any, new: student.Student) -> int:
    """How many tensors the rows have that the new backbone replaces."""
    stays = len(new.model.yaml["backbone"]) + len(new.model.yaml["head"]) - 1
    stays -= new.model.yaml["backbone"][1:2] == [[-1, 1, "Conv", [1024, 1, 1]]]  # added before SPPF and C2PSA
    return sum(len(row.state_dict()) for row in list(model.model)[: len(model.model) - stays])


@pytest.mark.parametrize("name", ["yolo11n.yaml", "yolo26n.yaml", "yolo12n.yaml"])
def test_with_the_feature_maps_of_the_trained_backbone_it_predicts_as_the_trained_model(name: str):
    model = trained(name)
    new = student.build(model, "starnet_fit")
    rows: dict[int, torch.Tensor] = {}
    for row in model.model:
        row.register_forward_hook(lambda row, _, output: rows.update({row.i: output}))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = tensors(model(image))
        for module in new.model.modules():
            if isinstance(module, AdaptedConv2d):
                give(module, new.model, rows)
        for output, value in zip(tensors(new.model.eval()(image)), expected, strict=True):
            torch.testing.assert_close(output, value, rtol=1e-4, atol=1e-4)


def give(module: AdaptedConv2d, network: Any, rows: dict[int, torch.Tensor]) -> None:
    """Let each part from the backbone be the feature map of the trained model."""
    for index, part in enumerate(module.parts):
        if part.exact:
            network.model[part.layer].register_forward_hook(lambda *_, part=part: rows[part.row])
        elif part.is_replaced:
            module.adapters[str(index)] = Given(rows[part.row])


class Given(nn.Module):
    """Returns a map of its own, at the size of the one it gets."""

    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(self.value, x.shape[2:], mode="nearest")


@pytest.mark.parametrize("backbone", ["starnet_s1", "starnet_s050", "starnet_fit"])
def test_any_backbone_takes_the_place(backbone: str):
    assert not student.build(trained("yolo11n.yaml"), backbone).left


def test_a_level_starts_from_the_convolution_that_began_it_where_that_fits():
    model = trained("yolo11n.yaml")
    new = student.build(model, "starnet_fit").model
    torch.testing.assert_close(new.model[0].conv.weight, model.model[0].conv.weight)


def test_the_trained_model_stays_as_it_is():
    model = trained("yolo11n.yaml")
    before = deepcopy(model.state_dict())
    new = student.build(model, "starnet_fit").model
    for parameter in new.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(model.state_dict(), before)


class Custom(nn.Conv2d):
    """A module that Ultralytics does not have."""


def test_a_model_that_cannot_be_followed_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(BackboneError, match=r"only a model of stock rows can be grafted.*no module 'starnet_s1'"):
        student.build(trained("yolo11n-starnet.yaml"), "starnet_fit")
    with pytest.raises(BackboneError, match=r"rows cannot be run one after the other.*guide"):
        student.build(trained("yolov8n-world.yaml"), "starnet_fit")
    model = trained("yolo11n.yaml")
    monkeypatch.setattr(tasks, "Custom", Custom, raising=False)
    model.yaml["backbone"][0][2] = "Custom"
    monkeypatch.delattr(tasks, "Custom")
    with pytest.raises(BackboneError, match="no module 'Custom'"):
        student.build(model, "starnet_fit")
