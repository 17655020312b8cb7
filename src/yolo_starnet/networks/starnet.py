"""StarNet as five layers of a YOLO: one stem (P1/2) and four stages (P2/4 to P5/32).

Source: Ma et al., "Rewrite the Stars", CVPR 2024 (arXiv 2403.19967). Parameters have the order and shapes of the
authors' `imagenet/starnet.py` and of timm's `timm/models/starnet.py`, so their weights map one to one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import nn
from ultralytics.nn.modules import Conv

from ..backbone import Backbone, Layer
from ..hookspecs import hookimpl
from . import imagenet, memory, onednn
from .options import Form, check_common, check_positive, drop_path_rates, make_divisible

STEM_CHANNELS = 32
"""Channels of the stem at width 1.0."""
DEFAULT_MLP_RATIO = 4
"""Branch channels of a star block, in multiples of the block's channels."""


class ConvBN(Conv):
    """Convolution with bias, then BatchNorm, then an activation if one is given.

    As an Ultralytics `Conv`, its BatchNorm is folded by the stock `fuse()`.
    """

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, g: int = 1, act: nn.Module | None = None) -> None:
        """Build a `k` x `k` convolution of stride `s` in `g` groups that keeps the size of its input at stride 1."""
        super().__init__(c1, c2, k, s, g=g, act=act or False)
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2, groups=g)

    def forward_fuse(self, x: torch.Tensor) -> torch.Tensor:
        """Run the convolution and the activation, after `fuse()` has folded the BatchNorm."""
        if type(self.act) in onednn.ACTIVATIONS and onednn.fits(x, self.conv):
            return onednn.convolve(self.conv, x, act=type(self.act))
        return super().forward_fuse(x)


class StarStem(ConvBN):
    """The first level: B x c1 x H x W to B x c2 x H/2 x W/2, by default with values from 0 to 6."""

    def __init__(self, c1: int, c2: int, act: str | None = None) -> None:
        """Build a 3 x 3 convolution of stride 2 with BatchNorm and ReLU6, or the activation `act`."""
        super().__init__(c1, c2, 3, 2, act=nn.ReLU6())
        Form(act=act).activate(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the level in the memory format that is fastest for the levels after it."""
        return super().forward(memory.arrange_image(x, self.conv.weight, self.training))

    def forward_fuse(self, x: torch.Tensor) -> torch.Tensor:
        """Do the same after `fuse()` has folded the BatchNorm."""
        return super().forward_fuse(memory.arrange_image(x, self.conv.weight, self.training))

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        """Output channels of `StarStem(c1, c2, …)`."""
        return c2


class DropPath(nn.Module):
    """Stochastic depth: in training, zero a sample with probability `p` and scale the others by 1 / (1 - p).

    timm and torchvision have the same layer, but take seconds to import, and a restricted load refuses theirs.
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


def plain_conv(c1: int, c2: int, k: int = 1, g: int = 1) -> nn.Module:
    """A `k` x `k` convolution with bias in `g` groups that keeps the size of its input."""
    return nn.Conv2d(c1, c2, k, padding=k // 2, groups=g)


class StarBlock(nn.Module):
    """The star operation between two depthwise convolutions, with a residual: B x c x H x W to the same shape.

    ReLU6 bounds one factor, so the product grows only as the other does. docs/accuracy.md has its margin in float16.
    """

    build_conv: Callable[..., nn.Module] = staticmethod(plain_conv)
    """Builds `f1`, `f2` and `dwconv2`. In the paper, no BatchNorm follows them."""

    def __init__(self, c: int, mlp_ratio: int = DEFAULT_MLP_RATIO, drop_path: float = 0.0, kernel: int = 7) -> None:
        """Build a block with `mlp_ratio * c` channels in each branch, dropped at the rate of `drop_path`."""
        super().__init__()
        hidden = mlp_ratio * c
        self.dwconv = ConvBN(c, c, kernel, g=c)
        self.f1 = self.build_conv(c, hidden)
        self.f2 = self.build_conv(c, hidden)
        self.g = ConvBN(hidden, c)
        self.dwconv2 = self.build_conv(c, c, kernel, g=c)
        self.act = nn.ReLU6()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute x + dwconv2(g(act(f1(y)) * f2(y))), where y = dwconv(x)."""
        if self._runs_packed(x):
            return onednn.star_block(x, self._convolutions(), type(self.act))
        y = self.dwconv(x)
        y = memory.multiply(self.act(self.f1(y)), self.f2(y))
        y = self.dwconv2(self.g(y))
        return memory.add(x, self.drop_path(y))

    def _runs_packed(self, x: torch.Tensor) -> bool:
        """Whether `fuse()` has folded the BatchNorms and oneDNN can run the block on `x`."""
        return not hasattr(self.g, "bn") and onednn.fits(x, *self._convolutions())

    def _convolutions(self) -> list[nn.Conv2d]:
        """The bare convolutions, in the order in which `onednn.star_block` takes them."""
        layers = (self.dwconv, self.f1, self.f2, self.g, self.dwconv2)
        return [cast(nn.Conv2d, layer.conv if isinstance(layer, ConvBN) else layer) for layer in layers]


class StarStage(nn.Sequential):
    """One level: B x c1 x H x W to B x c2 x H/2 x W/2."""

    block = StarBlock

    def __init__(
        self,
        c1: int,
        c2: int,
        depth: int,
        mlp_ratio: int = DEFAULT_MLP_RATIO,
        drop_path: Sequence[float] = (),
        kernel: int = 7,
        act: str | None = None,
    ) -> None:
        """Build a 3 x 3 convolution of stride 2 and `depth` blocks; `drop_path` has a rate for each block, or none."""
        rates = drop_path or [0.0] * depth
        super().__init__(ConvBN(c1, c2, 3, 2), *(self.block(c2, mlp_ratio, rate, kernel) for rate in rates))
        Form(kernel, act).activate(self)

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        """Output channels of `StarStage(c1, c2, …)`."""
        return c2

    @classmethod
    def layer(cls, c1: int, c2: int, depth: int, mlp_ratio: int, drop_path: list[float], form: Form) -> Layer:
        """The layer that builds this stage. Models print its arguments, so defaults are left out."""
        args = (c1, c2, depth, mlp_ratio)
        if form != Form():
            return Layer(cls, (*args, drop_path, *form))
        return Layer(cls, (*args, drop_path) if drop_path else args)


class Variant(NamedTuple):
    """One line of the paper's table of networks."""

    base: int
    """Channels at P2, which double at each further level."""
    depths: tuple[int, int, int, int]
    """Blocks at P2 to P5."""
    mlp_ratio: int
    """Branch channels of a star block, in multiples of the block's channels."""
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


def levels(
    variant: Variant,
    in_channels: int,
    *,
    depth: float = 1.0,
    width: float = 1.0,
    mlp_ratio: int | None = None,
    drop_path_rate: float = 0.0,
    pretrained: bool | str = False,
    kernel: int = Form().kernel,
    act: str | None = None,
) -> list[Layer]:
    """The five layers of a variant.

    Args:
        variant: Its channels, blocks and branch width.
        in_channels: Channels of the image.
        depth: Accepted and without effect, as in the reference code.
        width: Factor on all channels, rounded to multiples of 8, at most 8; 1.0 is the published network, not rounded.
        mlp_ratio: Branch channels of a star block, in multiples of the block's; the variant's unless given; at most 16.
        drop_path_rate: Rate of dropping the last block; the rates rise linearly from 0 at the first.
        pretrained: Whether the layers will get ImageNet weights, or the path of a file with them.
        kernel: Height and width of the depthwise convolutions: 3, 5 or 7.
        act: The activation of every layer: relu, relu6 or silu; relu6 unless given.

    Returns:
        Layers of strides 2, 4, 8, 16 and 32.

    Raises:
        ValueError: An option is out of range or not a number, or no weights can fit this network.
    """
    ratio = variant.mlp_ratio if mlp_ratio is None else mlp_ratio
    check_positive("depth", depth)
    check_common(width, drop_path_rate, ratio)
    form = Form(kernel, act)
    form.check()
    if pretrained:
        _check_weights(variant, pretrained, width, ratio, kernel)
    stem, base = (c if width == 1 else make_divisible(int(c * width)) for c in (STEM_CHANNELS, variant.base))
    channels = [stem, base, 2 * base, 4 * base, 8 * base]
    rates = drop_path_rates(drop_path_rate, variant.depths)
    stages = [
        StarStage.layer(c1, c2, blocks, int(ratio), dropped, form)
        for (c1, c2), blocks, dropped in zip(pairwise(channels), variant.depths, rates)
    ]
    return [Layer(StarStem, (in_channels, stem, *([act] if act else []))), *stages]


def _check_weights(variant: Variant, pretrained: object, width: float, ratio: float, kernel: int) -> None:
    """Refuse to load weights where none can fit, before anything is built or fetched."""
    fits = "weights fit only the published network, {width: 1.0, pretrained: …}"
    if width != 1:
        raise ValueError(f"{fits}; found width {width:g}, from the row or, if the row has none, from the model's scale")
    if ratio != variant.mlp_ratio:
        raise ValueError(f"{fits}; found mlp_ratio {ratio}, expected {variant.mlp_ratio}; remove it from the row")
    if kernel != Form().kernel:
        raise ValueError(f"{fits}; found kernel {kernel}, expected {Form().kernel}; remove it from the row")
    if pretrained is True and not variant.published:
        names = ", ".join(name for name, v in VARIANTS.items() if v.published)
        raise ValueError(f"no weights are published for this variant, only for {names}; give the path of a file")
    imagenet.overlay(pretrained)


@hookimpl
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Register the seven variants."""
    for name, variant in VARIANTS.items():
        load_weights = partial(imagenet.load, name)
        register(Backbone(name, partial(levels, variant), (StarStem, StarStage), load_weights=load_weights))
