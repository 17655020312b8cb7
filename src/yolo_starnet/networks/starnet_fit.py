"""`starnet_fit`: star blocks at the deep levels only, fitted to YOLO's necks and to Ultralytics' recipes.

It differs from the paper's network (`starnet.py`) in five ways:

- P1 to P3, where small objects are found and star blocks learn slowly, have YOLO11's convolutions.
- It has more channels and fewer blocks.
- A BatchNorm, which `fuse()` folds, follows every convolution.
- Its initial weights learn at Ultralytics' default learning rate, and its star products start almost as plain layers.
- Its depthwise convolutions are 3 x 3 and its activations ReLU, which every chip computes quickly, and well in INT8.

docs/accuracy.md gives the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

from torch import nn
from ultralytics.nn.modules import Bottleneck, C2f, Conv

from ..backbone import Backbone, Layer
from ..hookspecs import hookimpl
from .options import Form, check_common, drop_path_rates, make_divisible, whole, whole_per_stage
from .starnet import ConvBN, StarBlock, StarStage, StarStem

SHRINK = 3.0
"""Divisor of PyTorch's initial weights of every convolution.

The BatchNorm after the convolution undoes it, so the network computes the same. But a step of a given size turns
smaller weights further. Networks as narrow as these need that to learn from scratch at Ultralytics' default learning
rate.
"""
BIAS_STD = 0.5
"""Standard deviation of the initial biases of the BatchNorms.

They decide where each channel's activation sets in. From PyTorch's zeros, the default learning rate moves them by a few
hundredths in a whole training; where `warmup_bias_lr` is 0.1, a training ends with biases of this size.
"""
GATE_BIAS = 1.0
"""Mean of the initial biases of f1, the factor of a star product that is activated.

Around 0, ReLU zeroes half of the products at first, and most others have a small factor, which lets little gradient
through. Around 1, a product starts as its other factor, more or less.
"""
BASE_WIDTH = 0.25
"""The width of `STEM` and `DIMS`, that of scale n."""
STEM = 16
"""Channels at P1 at the base width."""
DIMS = (64, 64, 128, 192)
"""Channels at P2 to P5 at the base width."""
MAX_CHANNELS = 448
"""The most channels of a level up to a width of 1.0, that of scale l; in proportion to the width beyond it."""
MOST_DIM = 4096
"""The most channels that `dims` may give a level."""
MOST_DEPTH = 64
"""The most blocks that `depths` may give a level."""
DEPTHS = (0, 1, 1, 1)
"""Blocks at P2 to P5."""
MLP_RATIO = 2
"""Branch channels of a star block, in multiples of the block's channels."""
KERNEL = 3
"""Height and width of the depthwise convolutions in star blocks."""
ACT = "relu"
"""The activation of every layer."""
FIRST_STAR_LEVEL = 4
"""The first level with star blocks, P4."""


class FitStem(StarStem):
    """The first level: B x c1 x H x W to B x c2 x H/2 x W/2."""

    def __init__(self, c1: int, c2: int, act: str | None = None) -> None:
        """Build a 3 x 3 convolution of stride 2 with BatchNorm and SiLU, or the activation `act`."""
        super().__init__(c1, c2, act or "silu")
        _prepare(self)


class CSP(C2f):
    """YOLO11's C3k2, which Ultralytics before 8.3 lacks: B x c x H x W to the same shape.

    Source: `C3k2` of ultralytics/nn/modules/block.py.
    """

    def __init__(self, c: int, depth: int) -> None:
        """Build a block of `depth` bottlenecks, which have c / 2 channels outside and c / 4 inside."""
        nn.Module.__init__(self)  # C2f would build wider bottlenecks
        self.c = c // 2
        self.cv1 = Conv(c, 2 * self.c)
        self.cv2 = Conv((2 + depth) * self.c, c)
        self.m = nn.ModuleList(Bottleneck(self.c, self.c) for _ in range(depth))


class ConvStage(nn.Sequential):
    """One level without star blocks: B x c1 x H x W to B x c2 x H/2 x W/2."""

    def __init__(self, c1: int, c2: int, depth: int, act: str | None = None) -> None:
        """Build a 3 x 3 convolution of stride 2 with SiLU and, unless `depth` is 0, a CSP of `depth` bottlenecks."""
        super().__init__(ConvBN(c1, c2, 3, 2, act=nn.SiLU()), *([CSP(c2, depth)] if depth else []))
        Form(act=act).activate(self)
        _prepare(self)

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        """Output channels of `ConvStage(c1, c2, …)`."""
        return c2


class FitBlock(StarBlock):
    """A star block with a BatchNorm after each convolution, folded by `fuse()`: B x c x H x W to the same shape."""

    build_conv = ConvBN


class FitStage(StarStage):
    """One level with star blocks: B x c1 x H x W to B x c2 x H/2 x W/2."""

    block = FitBlock

    def __init__(self, c1: int, c2: int, depth: int, mlp_ratio: int = MLP_RATIO, *options: Any) -> None:
        """Build a 3 x 3 convolution of stride 2 and `depth` blocks; `options` are the others of `StarStage`."""
        super().__init__(c1, c2, depth, mlp_ratio, *options)
        _prepare(self)
        for block in self:
            if isinstance(block, FitBlock):
                cast(ConvBN, block.f1).bn.bias.data += GATE_BIAS


def levels(
    in_channels: int,
    *,
    width: float = 0.25,
    dims: Sequence[int] | None = None,
    depths: Sequence[int] = DEPTHS,
    mlp_ratio: int = MLP_RATIO,
    drop_path_rate: float = 0.0,
    first_star_level: int = FIRST_STAR_LEVEL,
    kernel: int = KERNEL,
    act: str | None = ACT,
) -> list[Layer]:
    """The five layers.

    Args:
        in_channels: Channels of the image.
        width: Factor on the channels, 0.25 at scale n, at most 8; no level has more than 448 * max(width, 1).
        dims: Channels at P2 to P5, at most 4096 each, in place of those by width; `width` still decides the stem's.
        depths: Blocks at P2 to P5, at most 64 each.
        mlp_ratio: Branch channels of a star block, in multiples of the block's, at most 16.
        drop_path_rate: Rate of dropping the last star block; the rates rise linearly from 0 at the first.
        first_star_level: The first level with star blocks, 2 to 5; 6 is a network without.
        kernel: Height and width of the depthwise convolutions in star blocks: 3, 5 or 7.
        act: The activation of every layer: relu, relu6 or silu. With None, star blocks have relu6, the others silu.

    Returns:
        Layers of strides 2, 4, 8, 16 and 32.

    Raises:
        ValueError: An option is out of range, not a number, or not one number for each of the four stages.
    """
    check_common(width, drop_path_rate, mlp_ratio)
    form = Form(kernel, act)
    form.check()
    first_star_stage = whole("first_star_level", first_star_level, 2, 6) - 2
    stem, *scaled = (make_divisible(int(c * width / BASE_WIDTH)) for c in (STEM, *DIMS))
    most = int(MAX_CHANNELS * max(width, 1))
    channels = [stem, *whole_per_stage("dims", [min(c, most) for c in scaled] if dims is None else dims, 1, MOST_DIM)]
    blocks = whole_per_stage("depths", depths, 0, MOST_DEPTH)
    rates = drop_path_rates(drop_path_rate, [0] * first_star_stage + blocks[first_star_stage:])
    given = (act,) if act else ()
    layers = [Layer(FitStem, (in_channels, stem, *given))]
    for stage, (c1, c2) in enumerate(pairwise(channels)):
        plain = Layer(ConvStage, (c1, c2, blocks[stage], *given))
        stars = FitStage.layer(c1, c2, blocks[stage], int(mlp_ratio), rates[stage], form)
        layers.append(plain if stage < first_star_stage else stars)
    return layers


def _prepare(level: nn.Module) -> None:
    """Set the initial values of a level, and remove the biases of its convolutions, which a BatchNorm cancels."""
    for layer in level.modules():
        if isinstance(layer, Conv):
            layer.conv.bias = None
            layer.conv.weight.data /= SHRINK
            nn.init.normal_(layer.bn.bias, std=BIAS_STD)


@hookimpl
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Register `starnet_fit`."""
    register(Backbone("starnet_fit", levels, (FitStem, ConvStage, FitStage)))
