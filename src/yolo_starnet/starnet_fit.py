"""`starnet_fit`: StarNet's stem, stages and star operation, fitted to YOLO's necks and to Ultralytics' recipes.

It differs from the paper's network (`starnet.py`) in four ways: more channels and fewer blocks, none at P2, where they
are slow; a ReLU6 where a stage begins; a BatchNorm after every convolution, which `fuse()` folds; and initial weights
that learn at the rates that suit a stock YOLO. docs/accuracy.md tells why, and what each was worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from .backbones import Backbone, Layer
from .hookspecs import hookimpl
from .starnet import ConvBN, StarBlock, StarStem, check, make_divisible

SHRINK = 3.0
"""What initial weights before a BatchNorm are divided by.

The BatchNorm undoes it, so that the network computes the same; but a step of a given size turns such weights by so much
more. PyTorch's weights for a 1 x 1 convolution of few channels are two to six times as large as those of a stock YOLO's
3 x 3 convolutions at the same level, which is why StarNet wants so much higher a learning rate.
"""
DIMS, STEM, DEPTHS, MLP_RATIO = (32, 64, 128, 192), 16, (0, 1, 2, 1), 2
"""Channels at P2 to P5 and at P1, at a width of 0.25, that of scale n; blocks per stage, and their widening."""


class FitBlock(StarBlock):
    """A star block with a BatchNorm after each convolution, folded by `fuse()`: B x c x H x W to the same shape."""

    def __init__(self, c: int, mlp_ratio: int = MLP_RATIO, drop_path: float = 0.0) -> None:
        """Build a block whose two branches have `mlp_ratio * c` channels; `drop_path` is the rate of dropping it."""
        super().__init__(c, mlp_ratio, drop_path)
        hidden = mlp_ratio * c
        self.f1, self.f2, self.dwconv2 = _shrink(ConvBN(c, hidden)), _shrink(ConvBN(c, hidden)), ConvBN(c, c, 7, g=c)
        _shrink(self.dwconv), _shrink(self.g)


class FitStage(nn.Sequential):
    """One level: B x c1 x H x W to B x c2 x H/2 x W/2."""

    def __init__(
        self, c1: int, c2: int, depth: int, mlp_ratio: int = MLP_RATIO, drop_path: Sequence[float] = ()
    ) -> None:
        """Build a 3 x 3 convolution of stride 2 with ReLU6 and `depth` blocks with the rates of `drop_path`, if any."""
        rates = drop_path or [0.0] * depth
        down = _shrink(ConvBN(c1, c2, 3, 2, act=nn.ReLU6()))
        super().__init__(down, *(FitBlock(c2, mlp_ratio, rate) for rate in rates))

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        """The channels of what `FitStage(c1, c2, …)` returns."""
        return c2


def levels(
    in_channels: int,
    *,
    width: float = 0.25,
    dims: Sequence[int] | None = None,
    depths: Sequence[int] = DEPTHS,
    mlp_ratio: int = MLP_RATIO,
    drop_path_rate: float = 0.0,
) -> list[Layer]:
    """The five layers.

    Args:
        in_channels: Channels of the image.
        width: Factor on the channels, 0.25 at scale n; 448 * max(width, 1) is the most.
        dims: Channels at P2 to P5, in place of those by width; `width` still decides the stem's.
        depths: Blocks at P2 to P5.
        mlp_ratio: Widening inside a block.
        drop_path_rate: Rate of dropping the last block; the rates rise linearly from 0 at the first.

    Returns:
        Layers of strides 2, 4, 8, 16 and 32.

    Raises:
        ValueError: An option is out of range, not a number, or not one for each of the four stages.
    """
    check("width", width, "a number above 0", lambda v: v > 0)
    check("drop_path_rate", drop_path_rate, "a number from 0 up to, but not, 1", lambda v: 0 <= v < 1)
    check("mlp_ratio", mlp_ratio, "a whole number from 1 up", lambda v: v >= 1 and v == int(v))
    _check_four("dims", DIMS if dims is None else dims, 1)
    _check_four("depths", depths, 0)
    most = int(448 * max(width, 1))
    channels = dims or [min(make_divisible(int(c * width * 4)), most) for c in DIMS]
    rates = [drop_path_rate * i / max(sum(depths) - 1, 1) for i in range(sum(depths))]
    c1 = make_divisible(int(STEM * width * 4))
    layers = [Layer(StarStem, (in_channels, c1))]
    for c2, depth in zip(channels, depths):
        stage_rates, rates = rates[:depth], rates[depth:]
        layers.append(Layer(FitStage, (c1, c2, depth, int(mlp_ratio), *([stage_rates] if drop_path_rate else []))))
        c1 = c2
    return layers


def _shrink(layer: ConvBN) -> ConvBN:
    with torch.no_grad():
        layer.conv.weight /= SHRINK
    return layer


def _check_four(option: str, values: object, least: int) -> None:
    if not isinstance(values, Sequence) or len(values) != 4:
        raise ValueError(f"{option} must be four whole numbers, for P2 to P5, found {values!r}")
    for value in values:
        check(option, value, f"whole numbers from {least} up", lambda v: v >= least and v == int(v))


@hookimpl
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Register `starnet_fit`."""
    register(Backbone("starnet_fit", levels, (StarStem, FitStage)))
