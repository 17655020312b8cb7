"""`starnet_fit`: star blocks at the deep levels only, fitted to YOLO's necks and to Ultralytics' recipes.

It differs from the paper's network (`starnet.py`) in four ways: P1 to P3, where small objects are found and where star
blocks learn slowly, have YOLO11's convolutions; more channels and fewer blocks; a BatchNorm after every convolution,
which `fuse()` folds; and initial weights that learn at Ultralytics' default learning rate. docs/accuracy.md tells why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from ultralytics.nn.modules import Bottleneck, C2f, Conv

from ..backbone import Backbone, Layer
from ..hookspecs import hookimpl
from .starnet import ConvBN, StarBlock, StarStage, StarStem, check, check_shared, drop_path_rates, make_divisible

SHRINK = 3.0
"""What PyTorch's initial weights of every convolution are divided by.

The BatchNorm after it undoes that, so that the network computes the same; but a step of a given size turns such weights
by so much more, which backbones as narrow as these need to learn from scratch at Ultralytics' default learning rate.
"""
BIAS_STD = 0.5
"""Standard deviation of the initial biases of the BatchNorms.

They decide where each channel's activation sets in. From PyTorch's zeros, the default learning rate moves them by a few
hundredths in a whole training; where `warmup_bias_lr` is 0.1, a training ends with biases of this size.
"""
DIMS, STEM, DEPTHS, MLP_RATIO, FIRST_STAR_LEVEL = (64, 64, 128, 192), 16, (0, 1, 1, 1), 2, 4
"""Channels at P2 to P5 and at P1, at a width of 0.25, that of scale n; blocks per level; the widening inside a star
block; the first level with star blocks."""


class FitStem(StarStem):
    """The first level: B x c1 x H x W to B x c2 x H/2 x W/2."""

    def __init__(self, c1: int, c2: int) -> None:
        """Build a 3 x 3 convolution of stride 2 with BatchNorm and SiLU."""
        super().__init__(c1, c2)
        self.act = nn.SiLU()
        _prepare(self)


class CSP(C2f):
    """YOLO11's C3k2, which Ultralytics before 8.3 lacks: B x c x H x W to the same shape.

    Source: `C3k2` of ultralytics/nn/modules/block.py.
    """

    def __init__(self, c: int, depth: int) -> None:
        """Build a block of `depth` bottlenecks of c / 2 channels."""
        super().__init__(c, c, depth)
        self.m = nn.ModuleList(Bottleneck(self.c, self.c) for _ in range(depth))


class ConvStage(nn.Sequential):
    """One level without star blocks: B x c1 x H x W to B x c2 x H/2 x W/2."""

    def __init__(self, c1: int, c2: int, depth: int) -> None:
        """Build a 3 x 3 convolution of stride 2 with SiLU and, unless `depth` is 0, a CSP of as many bottlenecks."""
        super().__init__(ConvBN(c1, c2, 3, 2, act=nn.SiLU()), *([CSP(c2, depth)] if depth else []))
        _prepare(self)

    @staticmethod
    def out_channels(c1: int, c2: int, depth: int) -> int:
        """The channels of what `ConvStage(c1, c2, depth)` returns."""
        return c2


class FitBlock(StarBlock):
    """A star block with a BatchNorm after each convolution, folded by `fuse()`: B x c x H x W to the same shape."""

    def __init__(self, c: int, mlp_ratio: int = MLP_RATIO, drop_path: float = 0.0) -> None:
        """Build a block whose two branches have `mlp_ratio * c` channels; `drop_path` is the rate of dropping it."""
        super().__init__(c, mlp_ratio, drop_path)
        hidden = mlp_ratio * c
        self.f1, self.f2, self.dwconv2 = ConvBN(c, hidden), ConvBN(c, hidden), ConvBN(c, c, 7, g=c)


class FitStage(StarStage):
    """One level with star blocks: B x c1 x H x W to B x c2 x H/2 x W/2."""

    block = FitBlock

    def __init__(
        self, c1: int, c2: int, depth: int, mlp_ratio: int = MLP_RATIO, drop_path: Sequence[float] = ()
    ) -> None:
        """Build a 3 x 3 convolution of stride 2 and `depth` blocks; `drop_path` holds a rate for each, or nothing."""
        super().__init__(c1, c2, depth, mlp_ratio, drop_path)
        _prepare(self)


def levels(
    in_channels: int,
    *,
    width: float = 0.25,
    dims: Sequence[int] | None = None,
    depths: Sequence[int] = DEPTHS,
    mlp_ratio: int = MLP_RATIO,
    drop_path_rate: float = 0.0,
    first_star_level: int = FIRST_STAR_LEVEL,
) -> list[Layer]:
    """The five layers.

    Args:
        in_channels: Channels of the image.
        width: Factor on the channels, 0.25 at scale n; 448 * max(width, 1) is the most.
        dims: Channels at P2 to P5, in place of those by width; `width` still decides the stem's.
        depths: Blocks at P2 to P5.
        mlp_ratio: Widening inside a star block.
        drop_path_rate: Rate of dropping the last star block; the rates rise linearly from 0 at the first.
        first_star_level: The first level with star blocks, 2 to 5; 6 is a network without.

    Returns:
        Layers of strides 2, 4, 8, 16 and 32.

    Raises:
        ValueError: An option is out of range, not a number, or not one for each of the four stages.
    """
    check_shared(width, drop_path_rate, mlp_ratio)
    whole = "a whole number from 2 to 6"
    check("first_star_level", first_star_level, whole, lambda v: 2 <= v <= 6 and v == int(v))
    _check_four("dims", DIMS if dims is None else dims, 1)
    _check_four("depths", depths, 0)
    most = int(448 * max(width, 1))
    channels = dims or [min(make_divisible(int(c * width * 4)), most) for c in DIMS]
    first = int(first_star_level) - 2
    rates = drop_path_rates(drop_path_rate, [0] * first + list(depths[first:]))
    c1 = make_divisible(int(STEM * width * 4))
    layers = [Layer(FitStem, (in_channels, c1))]
    for i, (c2, depth) in enumerate(zip(channels, depths)):
        stars = Layer(FitStage, (c1, c2, depth, int(mlp_ratio), *rates[i]))
        layers.append(stars if i >= first else Layer(ConvStage, (c1, c2, depth)))
        c1 = c2
    return layers


def _prepare(level: nn.Module) -> None:
    """Set a level's initial values, and drop the biases of its convolutions, which a BatchNorm takes away."""
    for layer in level.modules():
        if isinstance(layer, Conv):
            layer.conv.bias = None
            layer.conv.weight.data /= SHRINK
            nn.init.normal_(layer.bn.bias, std=BIAS_STD)


def _check_four(option: str, values: object, least: int) -> None:
    if not isinstance(values, Sequence) or len(values) != 4:
        raise ValueError(f"{option} must be four whole numbers, for P2 to P5, found {values!r}")
    for value in values:
        check(option, value, f"whole numbers from {least} up", lambda v: v >= least and v == int(v))


@hookimpl
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Register `starnet_fit`."""
    register(Backbone("starnet_fit", levels, (FitStem, ConvStage, FitStage)))
