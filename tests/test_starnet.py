"""The network: what StarNet is, level by level."""

from typing import Any

import pytest
import timm
import torch
from torch import nn
from ultralytics.nn.modules import Conv

import yolo_starnet
from yolo_starnet.backbone import Layer
from yolo_starnet.networks.starnet import VARIANTS, ConvBN, StarBlock, levels

CHANNELS = {  # P1 … P5
    ("starnet_s1", 0.25): [8, 8, 16, 32, 64],
    ("starnet_s1", 0.5): [16, 16, 32, 64, 128],
    ("starnet_s1", 1.0): [32, 24, 48, 96, 192],
    ("starnet_s1", 1.5): [48, 40, 80, 160, 320],
    ("starnet_s4", 0.25): [8, 8, 16, 32, 64],
    ("starnet_s050", 1.0): [32, 16, 32, 64, 128],
    ("starnet_s100", 1.0): [32, 20, 40, 80, 160],
    ("starnet_s100", 1.5): [48, 32, 64, 128, 256],
}


def build(layers: list[Layer]) -> nn.Sequential:
    return nn.Sequential(*(layer.module(*layer.args) for layer in layers)).eval()


def outputs(network: nn.Sequential, image: torch.Tensor) -> list[torch.Tensor]:
    maps = []
    for level in network:
        image = level(image)
        maps.append(image)
    return maps


@pytest.mark.parametrize("in_channels", [1, 3, 4, 10], ids="{}ch".format)
@pytest.mark.parametrize("variant", VARIANTS)
def test_levels_at_width_1_equal_timm_given_the_same_weights(variant: str, in_channels: int):
    theirs = timm.create_model(variant, features_only=True, in_chans=in_channels).eval()
    for name, value in theirs.state_dict().items():  # a fresh BatchNorm is the identity, which hides errors
        if name.endswith(("running_mean", "running_var", "bias")) or ".bn." in name:
            value.copy_(torch.rand_like(value.float()) + 0.5)
    ours = build(levels(VARIANTS[variant], in_channels))
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))

    image = torch.randn(2, in_channels, 64, 96)
    with torch.no_grad():
        for level, expected in zip(outputs(ours, image)[1:], theirs(image), strict=True):
            assert (level - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("variant", "width"), CHANNELS, ids=lambda v: str(v))
def test_width_scales_channels_as_the_reference_code(variant: str, width: float):
    layers = levels(VARIANTS[variant], 3, width=width)
    assert [layer.channels for layer in layers] == CHANNELS[variant, width]
    maps = outputs(build(layers), torch.zeros(1, 3, 32, 32))
    assert [x.shape[1] for x in maps] == CHANNELS[variant, width]


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (1, 1), (416, 33)], ids=str)
def test_every_level_has_its_stride_at_any_size(size: tuple[int, int]):
    maps = outputs(build(levels(VARIANTS["starnet_s050"], 3, width=0.25)), torch.zeros(1, 3, *size))
    assert [x.shape[2:] for x in maps] == [tuple(-(-s // 2**p) for s in size) for p in range(1, 6)]


def test_depth_has_no_effect():
    assert levels(VARIANTS["starnet_s1"], 3, depth=0.5) == levels(VARIANTS["starnet_s1"], 3, depth=2.0)


def test_mlp_ratio_widens_the_two_branches():
    network = build(levels(VARIANTS["starnet_s050"], 3, mlp_ratio=5))
    blocks = [m for m in network.modules() if isinstance(m, StarBlock)]
    assert len(blocks) == 6
    assert all(b.f1.out_channels == b.f2.out_channels == 5 * b.g.conv.out_channels for b in blocks)


def test_drop_path_rises_linearly_over_all_blocks_and_drops_whole_samples_in_training_only():
    network = build(levels(VARIANTS["starnet_s1"], 3, width=0.25, drop_path_rate=0.7))
    blocks = [m for m in network.modules() if isinstance(m, StarBlock)]
    rates = [getattr(b.drop_path, "p", 0.0) for b in blocks]
    assert rates == pytest.approx([0.7 * i / 14 for i in range(15)])
    last, x = blocks[-1], torch.randn(64, 64, 2, 2)
    assert not torch.equal(last(x), x)
    kept = (last.train()(x) != x).flatten(1).any(1).sum()
    assert 5 <= kept <= 35  # 0.3 x 64 = 19 expected


def test_its_convolutions_are_ultralytics_convs_with_a_bias():
    layer = ConvBN(3, 8, 3, 2)
    assert isinstance(layer, Conv)
    assert layer.conv.bias is not None
    assert layer(torch.zeros(1, 3, 8, 8)).shape == (1, 8, 4, 4)


@pytest.mark.parametrize("act", [nn.ReLU, nn.ReLU6, nn.SiLU])
@pytest.mark.parametrize("name", ["starnet_s1", "starnet_fit"])
def test_act_is_the_activation_of_every_layer_of_the_backbone(name: str, act: type[nn.Module]):
    network = build(yolo_starnet.backbones()[name].build(3, width=0.25, act=act.__name__.lower()))
    plain = build(yolo_starnet.backbones()[name].build(3, width=0.25))
    activations = [type(m) for m in network.modules() if isinstance(m, (nn.ReLU, nn.ReLU6, nn.SiLU))]
    assert set(activations) == {act}
    levels = [any(isinstance(m, act) for m in level.modules()) for level in network]
    assert levels == [True] * 5
    assert [*network.state_dict()] == [*plain.state_dict()]


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("name", ["starnet_s1", "starnet_fit"])
def test_kernel_is_the_size_of_every_depthwise_convolution(name: str, kernel: int):
    network = build(yolo_starnet.backbones()[name].build(3, width=0.25, kernel=kernel))
    depthwise = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert {m.kernel_size for m in depthwise} == {(kernel, kernel)}
    assert network(torch.zeros(1, 3, 64, 96)).shape[2:] == (2, 3)


@pytest.mark.parametrize(("name", "defaults"), [("starnet_s1", {}), ("starnet_fit", {"kernel": 7, "act": None})])
def test_with_act_and_kernel_of_the_paper_the_layers_have_no_arguments_for_them(name: str, defaults: dict[str, Any]):
    layers = yolo_starnet.backbones()[name].build(3, **defaults)
    assert layers == yolo_starnet.backbones()[name].build(3, kernel=7, act=None)
    assert all(len(layer.args) <= 4 for layer in layers)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"act": "gelu"}, "act must be one of relu, relu6, silu, found 'gelu'"),
        ({"act": ["relu"]}, r"act must be one of relu, relu6, silu, found \['relu'\]"),
        ({"kernel": 4}, "kernel must be one of 3, 5, 7, found 4"),
        ({"kernel": 3.0}, "kernel must be one of 3, 5, 7, found 3.0"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["starnet_s1", "starnet_fit"])
def test_an_unknown_act_or_kernel_is_refused_with_the_known_ones(name: str, options: dict, reason: str):
    with pytest.raises(ValueError, match=reason):
        yolo_starnet.backbones()[name].build(3, **options)
