"""StarNet as five layers of a YOLO: one stem (P1/2) and four stages (P2/4 to P5/32).

Source: Ma et al., "Rewrite the Stars", CVPR 2024 (arXiv 2403.19967). Parameters stand in the order and shapes of the
authors' `imagenet/starnet.py` and of timm's `timm/models/starnet.py`, so their weights map one to one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple, cast

import torch
from torch import nn
from ultralytics.nn.modules import Conv
from ultralytics.utils import DEFAULT_CFG_DICT

from ..backbone import Backbone, Layer
from ..hookspecs import hookimpl
from . import imagenet, onednn


class ConvBN(Conv):
    """Convolution with bias, BatchNorm and, unless an activation is given, nothing else.

    It is an Ultralytics `Conv`, so that the stock `fuse()` folds its BatchNorm.
    """

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, g: int = 1, act: nn.Module | None = None) -> None:
        """Build a `k` x `k` convolution of stride `s` in `g` groups that keeps the size of its input at stride 1."""
        super().__init__(c1, c2, k, s, g=g, act=act or False)
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2, groups=g)

    def forward_fuse(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution alone, once `fuse()` has folded the BatchNorm into it."""
        if type(self.act) in onednn.ACTIVATIONS and onednn.fits(x, self.conv):
            return onednn.convolve(self.conv, x, act=type(self.act))
        return super().forward_fuse(x)


class StarStem(ConvBN):
    """The first level: B x c1 x H x W to B x c2 x H/2 x W/2, at least 0 and at most 6."""

    def __init__(self, c1: int, c2: int) -> None:
        """Build a 3 x 3 convolution of stride 2 with BatchNorm and ReLU6."""
        super().__init__(c1, c2, 3, 2, act=nn.ReLU6())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B x c1 x H x W to B x c2 x H/2 x W/2; what follows keeps the memory format that this chooses."""
        return super().forward(_arrange(x, self))

    def forward_fuse(self, x: torch.Tensor) -> torch.Tensor:
        """The same once `fuse()` has folded the BatchNorm."""
        return super().forward_fuse(_arrange(x, self))

    @staticmethod
    def out_channels(c1: int, c2: int) -> int:
        """The channels of what `StarStem(c1, c2)` returns."""
        return c2


class DropPath(nn.Module):
    """Stochastic depth: in training, zero a sample with a probability of `p` and scale the others to make up for it.

    The same as timm's and torchvision's, whose import takes seconds, and in the allow-list of a restricted load.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep or zero each sample of `x`, B x c x H x W."""
        if not self.training:
            return x
        kept = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(1 - self.p)
        return x * kept / (1 - self.p)


class StarBlock(nn.Module):
    """The star operation between two depthwise convolutions, with a residual: B x c x H x W to the same shape."""

    def __init__(self, c: int, mlp_ratio: int = 4, drop_path: float = 0.0) -> None:
        """Build a block whose two branches have `mlp_ratio * c` channels; `drop_path` is the rate of dropping it."""
        super().__init__()
        hidden = mlp_ratio * c
        self.dwconv = ConvBN(c, c, 7, g=c)
        self.f1: nn.Module = nn.Conv2d(c, hidden, 1)
        self.f2: nn.Module = nn.Conv2d(c, hidden, 1)
        self.g = ConvBN(hidden, c)
        self.dwconv2: nn.Module = nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.act = nn.ReLU6()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to `x` what the star operation finds in it."""
        if not hasattr(self.g, "bn"):  # fused
            layers = (self.dwconv, self.f1, self.f2, self.g, self.dwconv2)
            dwconv, f1, f2, g, dwconv2 = (_convolution(layer) for layer in layers)
            if onednn.fits(x, dwconv, f1, f2, g, dwconv2):
                y = onednn.convolve(dwconv, x)
                y = onednn.convolve(f2, y, times=onednn.convolve(f1, y, act=nn.ReLU6))
                return onednn.convolve(dwconv2, onednn.convolve(g, y), plus=x)
        y = self.dwconv(x)
        # A tracer that records with gradients and checks without, as NCNN's pnnx does, must find the same graph.
        if torch.is_grad_enabled() or torch.jit.is_tracing():
            y = self.act(self.f1(y)) * self.f2(y)
            return x + self.drop_path(self.dwconv2(self.g(y)))
        # In place: on a CPU, fetching memory for another map takes longer than the sum or product itself.
        y = self.act(self.f1(y)).mul_(self.f2(y))
        return self.drop_path(self.dwconv2(self.g(y))).add_(x)


class StarStage(nn.Sequential):
    """One level: B x c1 x H x W to B x c2 x H/2 x W/2."""

    block = StarBlock

    def __init__(self, c1: int, c2: int, depth: int, mlp_ratio: int = 4, drop_path: Sequence[float] = ()) -> None:
        """Build a 3 x 3 convolution of stride 2 and `depth` blocks; `drop_path` holds a rate for each, or nothing."""
        rates = drop_path or [0.0] * depth
        super().__init__(ConvBN(c1, c2, 3, 2), *(self.block(c2, mlp_ratio, rate) for rate in rates))

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        """The channels of what `StarStage(c1, c2, …)` returns."""
        return c2


class Variant(NamedTuple):
    """One line of the paper's table: channels at P2, blocks per stage, widening inside a block."""

    base: int
    depths: tuple[int, int, int, int]
    mlp_ratio: int
    published: bool = True
    """Whether there are ImageNet weights."""


VARIANTS = {
    "starnet_s1": Variant(24, (2, 2, 8, 3), 4),
    "starnet_s2": Variant(32, (1, 2, 6, 2), 4),
    "starnet_s3": Variant(32, (2, 2, 8, 4), 4),
    "starnet_s4": Variant(32, (3, 3, 12, 5), 4),
    "starnet_s050": Variant(16, (1, 1, 3, 1), 3, published=False),
    "starnet_s100": Variant(20, (1, 2, 4, 1), 4, published=False),
    "starnet_s150": Variant(24, (1, 2, 4, 2), 3, published=False),
}
STEM_CHANNELS = 32


def levels(
    variant: Variant,
    in_channels: int,
    *,
    depth: float = 1.0,
    width: float = 1.0,
    mlp_ratio: int | None = None,
    drop_path_rate: float = 0.0,
    pretrained: bool | str = False,
) -> list[Layer]:
    """The five layers of a variant.

    Args:
        variant: Its channels, blocks and widening.
        in_channels: Channels of the image.
        depth: Accepted and without effect, as in the reference code.
        width: Factor on every channel count, rounded to multiples of 8; 1.0 is the published network, not rounded.
        mlp_ratio: Widening inside a block; the variant's own unless given.
        drop_path_rate: Rate of dropping the last block; the rates rise linearly from 0 at the first.
        pretrained: Whether the layers will get ImageNet weights, or the path of a file with them.

    Returns:
        Layers of strides 2, 4, 8, 16 and 32.

    Raises:
        ValueError: An option is out of range or not a number, or there can be no weights for the network asked for.
    """
    check("depth", depth, "a number above 0", lambda v: v > 0)
    ratio = variant.mlp_ratio if mlp_ratio is None else mlp_ratio
    check_shared(width, drop_path_rate, ratio)
    if pretrained:
        _check_weights(variant, pretrained, width, ratio)

    base, c1 = (c if width == 1 else make_divisible(int(c * width)) for c in (variant.base, STEM_CHANNELS))
    layers = [Layer(StarStem, (in_channels, c1))]
    for stage, (repeats, rates) in enumerate(zip(variant.depths, drop_path_rates(drop_path_rate, variant.depths))):
        c2 = base * 2**stage
        layers.append(Layer(StarStage, (c1, c2, repeats, int(ratio), *rates)))
        c1 = c2
    return layers


def drop_path_rates(last: float, depths: Sequence[int]) -> list[list[list[float]]]:
    """For each stage its argument `drop_path`, of rates that rise linearly over blocks from 0 to `last`, or nothing."""
    rates = [last * i / max(sum(depths) - 1, 1) for i in range(sum(depths))]
    ends = list(accumulate(depths))
    return [[rates[end - depth : end]] if last else [] for end, depth in zip(ends, depths)]


def _convolution(layer: nn.Module) -> nn.Conv2d:
    return cast(nn.Conv2d, layer.conv if isinstance(layer, ConvBN) else layer)


def _arrange(x: torch.Tensor, stem: ConvBN) -> torch.Tensor:
    """Put an image's channels side by side where that makes every layer after it faster.

    Depthwise layers on x86 CPUs take about half the time so, forward and backward. Recent releases have an argument
    `channels_last`, which decides for predictions, by the memory format of the weights, but not for training on a CPU.
    """
    chosen = stem.conv.weight.is_contiguous(memory_format=torch.channels_last)
    ours = stem.training or "channels_last" not in DEFAULT_CFG_DICT
    if not (chosen or ours) or not onednn.X86 or x.device.type != "cpu":
        return x
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return x
    return x.contiguous(memory_format=torch.channels_last)


@hookimpl
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Register the seven variants."""
    for name, variant in VARIANTS.items():
        load_weights = partial(imagenet.load, name)
        register(Backbone(name, partial(levels, variant), (StarStem, StarStage), load_weights=load_weights))


def check(option: str, value: object, expected: str, fits: Callable[[float], bool]) -> None:
    """Raise `ValueError` unless the value of an option is a number that `fits`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not fits(value):  # type: ignore[arg-type]  # a number by now
        raise ValueError(f"{option} must be {expected}, found {value!r}")


def check_shared(width: object, drop_path_rate: object, mlp_ratio: object) -> None:
    """Raise `ValueError` unless the options that every StarNet has are in range."""
    check("width", width, "a number above 0", lambda v: v > 0)
    check("drop_path_rate", drop_path_rate, "a number from 0 up to, but not, 1", lambda v: 0 <= v < 1)
    check("mlp_ratio", mlp_ratio, "a whole number from 1 up", lambda v: v >= 1 and v == int(v))


def _check_weights(variant: Variant, pretrained: object, width: float, ratio: float) -> None:
    """Refuse to ask for weights where none can fit, before anything is built or fetched."""
    fits = "weights fit only the published network, {width: 1.0, pretrained: …}"
    if width != 1:
        raise ValueError(f"{fits}; found width {width:g}, of the row or, where it gives none, of the model's scale")
    if ratio != variant.mlp_ratio:
        raise ValueError(f"{fits}; found mlp_ratio {ratio}, which is {variant.mlp_ratio} there")
    if pretrained is True and not variant.published:
        names = ", ".join(name for name, v in VARIANTS.items() if v.published)
        raise ValueError(f"no weights are published for this variant, only for {names}; give the path of a file")
    imagenet.overlay(pretrained)


def make_divisible(value: int, divisor: int = 8) -> int:
    """Round half up to a multiple of `divisor`, at least `divisor`, and one more when that loses over 10 %."""
    rounded = max(divisor, (value + divisor // 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
