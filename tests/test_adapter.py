"""Adapters before a trained convolution, and the plain convolution that computes the same."""

import pytest
import torch
from torch import nn
from ultralytics.nn.modules import Conv

from yolo_starnet.transplanting.adapter import AdaptedConv2d, Part, fold

PARTS = [Part(8, 6, row=4, layer=2), Part(3, 3)]
"""Eight trained channels that six new ones take the place of, and three that stay."""


@pytest.mark.parametrize("norm", [True, False], ids=["BatchNorm", "no BatchNorm"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("padding", [0, 1], ids=["no border", "border"])
@pytest.mark.parametrize("kernel", [1, 3], ids=["1 x 1", "3 x 3"])
def test_the_plain_convolution_computes_the_same(kernel: int, padding: int, bias: bool, norm: bool):
    model = Conv(11, 5, kernel).eval().double()
    model.bn.running_mean.normal_()
    model.bn.running_var.uniform_(0.5, 2)
    conv = nn.Conv2d(11, 5, kernel, 2, padding, bias=bias).double()
    if norm:
        model.conv = AdaptedConv2d(conv, PARTS, model.bn).double()
    else:
        model = nn.Sequential(AdaptedConv2d(conv, PARTS).double())
    image = torch.rand(2, 9, 8, 8).double()
    before = model(image)
    fold(model)
    assert not [m for m in model.modules() if isinstance(m, AdaptedConv2d)]
    assert next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels == 9
    torch.testing.assert_close(model(image), before)


def test_the_error_is_that_of_the_output_in_units_of_its_variance():
    norm = nn.BatchNorm2d(5)
    norm.running_var.fill_(4.0)
    conv = nn.Conv2d(11, 5, 1)
    layer = AdaptedConv2d(conv, PARTS, norm)
    new, trained = torch.rand(1, 6, 4, 4), torch.rand(1, 8, 4, 4)
    rest = torch.rand(1, 3, 4, 4)
    difference = layer(torch.cat([new, rest], 1)) - conv(torch.cat([trained, rest], 1))
    torch.testing.assert_close(layer.error(0, new, trained), difference.square().mean(1, keepdim=True) / 4)


def test_learning_changes_the_adapters_and_never_the_trained_convolution():
    layer = AdaptedConv2d(nn.Conv2d(11, 5, 1), PARTS)
    layer.error(0, torch.rand(1, 6, 4, 4), torch.rand(1, 8, 4, 4)).mean().backward()
    learning = {name for name, parameter in layer.named_parameters() if parameter.grad is not None}
    assert learning == {"adapters.0.weight", "adapters.0.bias"}


def test_a_part_that_is_exact_has_no_adapter():
    layer = AdaptedConv2d(nn.Conv2d(8, 5, 1), [Part(8, 8, row=8, layer=5, exact=True)])
    assert not list(layer.adapters)
    image = torch.rand(1, 8, 4, 4)
    torch.testing.assert_close(layer(image), layer.conv(image))
