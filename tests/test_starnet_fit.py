"""`starnet_fit`: its size, its options, its initial weights and what `fuse()` does to it."""

import pytest
import torch
from torch import nn
from ultralytics import YOLO

from yolo_starnet.errors import BackboneError
from yolo_starnet.measuring import figures
from yolo_starnet.networks.starnet import ConvBN
from yolo_starnet.networks.starnet_fit import CSP, ConvStage, FitBlock, FitStage, levels

TASKS = ["yolo11{}", "yolo11{}-seg", "yolo11{}-pose", "yolo11{}-obb", "yolo26{}", "yolo26{}-seg"]


def on_starnet(name: str) -> str:
    """The config name of a stock name on `starnet_fit`."""
    family, dash, task = name.partition("-")
    return f"{family}-starnet_fit{dash}{task}.yaml"


@pytest.mark.parametrize("name", [task.format("n") for task in TASKS])
def test_scale_n_has_fewer_parameters_and_gflops_than_stock(name: str):
    fit, stock = figures.of_file(on_starnet(name)), figures.of_file(f"{name}.yaml")
    assert fit.parameters < stock.parameters
    assert fit.gflops < stock.gflops


@pytest.mark.parametrize("options", [{"width": w} for w in (0.25, 0.5, 1.0, 1.5)] + [{"depths": [1, 2, 0, 1]}], ids=str)
def test_layers_know_their_channels_before_they_are_built(options: dict):
    layers = levels(3, **options)
    x = torch.zeros(1, 3, 64, 64)
    for layer in layers:
        x = layer.module(*layer.args).eval()(x)
        assert x.shape[1] == layer.channels
    assert x.shape[2:] == (2, 2)


def test_dims_depths_mlp_ratio_and_drop_path_are_options_of_a_row():
    layers = levels(3, dims=[8, 24, 40, 56], depths=[0, 2, 2, 3], mlp_ratio=3, drop_path_rate=0.4)
    assert [layer.channels for layer in layers[1:]] == [8, 24, 40, 56]
    stages = [layer.module(*layer.args) for layer in layers[1:]]
    assert [len(m.m) for stage in stages for m in stage if isinstance(m, CSP)] == [2]
    blocks = [[m for m in stage if isinstance(m, FitBlock)] for stage in stages]
    assert [len(b) for b in blocks] == [0, 0, 2, 3]
    assert blocks[2][0].f1.conv.out_channels == 3 * 40
    assert [getattr(b.drop_path, "p", 0.0) for b in blocks[2] + blocks[3]] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("first", [2, 3, 4, 5, 6])
def test_star_blocks_begin_at_the_level_that_is_asked_for(first: int):
    layers = levels(3, first_star_level=first, depths=[1, 1, 1, 1], drop_path_rate=0.1)
    assert [layer.module for layer in layers[1:]] == [ConvStage] * (first - 2) + [FitStage] * (6 - first)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("{dims: [8, 16, 32]}", "dims must be four whole numbers, for P2 to P5, found \\[8, 16, 32\\]"),
        ("{dims: 32}", "dims must be four whole numbers"),
        ("{dims: [0, 16, 32, 64]}", "dims\\[0\\] must be a whole number from 1 up, found 0"),
        ("{depths: [1, 1, -1, 1]}", "depths\\[2\\] must be a whole number from 0 up, found -1"),
        ("{mlp_ratio: 0}", "mlp_ratio must be a whole number from 1 up, found 0"),
        ("{drop_path_rate: 1}", "drop_path_rate must be a number of at least 0 and below 1, found 1"),
        ("{width: true}", "width must be a number above 0, found True"),
        ("{width: .inf}", "width must be a number above 0, found inf"),
        ("{width: -1}", "width must be a number above 0, found -1"),
        ("{first_star_level: 7}", "first_star_level must be a whole number from 2 to 6, found 7"),
        ("{pretrained: true}", "pretrained"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(tmp_path, options: str, reason: str):
    file = tmp_path / "mine.yaml"
    file.write_text(f"nc: 3\nbackbone:\n  - [-1, 1, starnet_fit, {options}]\nhead:\n  - [[2, 3, 4], 1, Detect, [nc]]\n")
    with pytest.raises(BackboneError, match=reason):
        YOLO(file)


def test_a_csp_builds_every_convolution_once(monkeypatch: pytest.MonkeyPatch):
    built: list[nn.Conv2d] = []
    init = nn.Conv2d.__init__

    def count(conv: nn.Conv2d, *args: object, **kwargs: object) -> None:
        built.append(conv)
        init(conv, *args, **kwargs)

    monkeypatch.setattr(nn.Conv2d, "__init__", count)
    assert [m for m in CSP(16, 3).modules() if isinstance(m, nn.Conv2d)] == built


def test_the_three_convolutions_of_a_block_that_differ_from_the_papers_have_a_batchnorm():
    block = FitBlock(8, 2)
    assert all(isinstance(m, ConvBN) for m in (block.f1, block.f2, block.dwconv2))
    assert (block.f1.conv.out_channels, block.f2.conv.out_channels) == (16, 16)
    assert (block.dwconv2.conv.groups, block.dwconv2.conv.kernel_size) == (8, (7, 7))


def test_no_convolution_has_a_bias_which_a_batchnorm_would_cancel():
    layers = YOLO("yolo11n-starnet_fit.yaml").model.model[:5]
    assert not any(m.bias is not None for row in layers for m in row.modules() if isinstance(m, nn.Conv2d))


def test_channels_of_every_level_start_with_different_thresholds():
    for row in YOLO("yolo11n-starnet_fit.yaml").model.model[:5]:
        assert all(m.bias.std() > 0.25 for m in row.modules() if isinstance(m, nn.BatchNorm2d))


def test_star_products_start_with_an_open_gate():
    blocks = [m for m in YOLO("yolo11n-starnet_fit.yaml").model.modules() if isinstance(m, FitBlock)]
    assert blocks
    for block in blocks:
        assert block.f1.bn.bias.mean().item() == pytest.approx(1, abs=0.15)
        assert block.f2.bn.bias.mean().item() == pytest.approx(0, abs=0.15)


def test_fuse_folds_every_batchnorm_and_changes_nothing():
    model = YOLO("yolo11n-starnet_fit.yaml").model.double().eval()
    for m in model.modules():  # a fresh BatchNorm is the identity, which hides errors
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(std=0.1)
            m.running_var.uniform_(0.5, 1.5)
    image = torch.rand(1, 3, 96, 64, dtype=torch.float64)
    with torch.no_grad():
        before = model(image)[0]
        after = model.fuse(verbose=False)(image)[0]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert (after - before).abs().max() <= 1e-6 * before.abs().max()


def test_an_adam_step_turns_the_weights_of_every_level_further_than_in_starnet_but_not_beyond_the_stock_backbone():
    def share(name: str, rows: int) -> list[float]:
        """Relative change of the weights by a step of 1 in each, for the median convolution of every level."""
        shares = []
        for row in YOLO(name).model.model[:rows]:
            stds = [m.weight.std().item() for m in row.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
            shares.append(1 / sorted(stds)[len(stds) // 2])
        return shares

    fit, stock, paper = share("yolo11n-starnet_fit.yaml", 5), share("yolo11n.yaml", 9), share("yolo11n-starnet.yaml", 5)
    assert all(a > 2 * b for a, b in zip(fit, paper))
    assert max(fit) < 1.5 * max(stock)
