"""Simple feature pyramid: P3 to P5 from the one feature map of a plain vision transformer."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .options import check_at_most

STRIDES = (14, 16)
"""Strides, which are patch sizes, of the transformers that a pyramid can be built on, in pixels of their image."""
CHANNELS = 256
"""Channels of each level by default, as in ViTDet."""
MOST_CHANNELS = 4096
"""The most channels that a level may have."""


class FeaturePyramid(nn.Module):
    """P3 to P5 from the last map of a plain vision transformer (ViT).

    ViTDet (Li et al., arXiv 2203.16527, section 3) needs no pyramid inside of the transformer: stride 8 is a transposed
    convolution of the last map, stride 16 the map itself, stride 32 its max pooling. Each is followed by a 1 x 1
    convolution and a layer norm over the channels. ViTDet's 3 x 3 convolutions after these are left to YOLO's neck.
    """

    width_list: list[int]
    """Channels of the three maps."""

    def __init__(self, vit: Any, in_channels: int, channels: int = CHANNELS) -> None:
        """Build on `vit`, whose result is a list of one map, B x `vit.width_list[0]` x H/s x W/s.

        Args:
            vit: A module with `name`, `width_list` and `strides`, each of the two lists of one number, and timm's model
                as `net`.
            in_channels: Channels of the image.
            channels: Channels of each of the three maps.

        Raises:
            ValueError: `vit` has several maps, the stride s is neither 14 nor 16, or `channels` is not a positive whole
                number.
        """
        super().__init__()
        if len(vit.strides) != 1:
            raise ValueError(
                f"{vit.name} returns {len(vit.strides)} feature maps of one stride, expected one map; give one "
                "index as out_indices, such as [-1]"
            )
        (width,), (stride,) = vit.width_list, vit.strides
        if stride not in STRIDES:
            raise ValueError(
                f"{vit.name} has feature maps of stride {stride} only, expected 8, 16 and 32 among them, or 14 or 16 "
                "alone, a plain vision transformer with patches of 14 or 16 pixels"
            )
        if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
            raise ValueError(f"pyramid_channels must be a positive whole number, found {channels!r}")
        check_at_most("pyramid_channels", channels, MOST_CHANNELS)
        self.name = vit.name
        self.width_list = [channels] * 3
        self.patch = stride
        self.vit = nn.Sequential(normalization(vit.net.pretrained_cfg, in_channels), vit)
        self.p3 = nn.Sequential(nn.ConvTranspose2d(width, width // 2, 2, stride=2), *_project(width // 2, channels))
        self.p4 = nn.Sequential(*_project(width, channels))
        self.p5 = nn.Sequential(nn.MaxPool2d(2), *_project(width, channels))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """B x c x H x W to maps of strides 8, 16 and 32, each B x channels x H/s x W/s."""
        height, width = x.shape[2:]
        if self.patch != 16:  # an image of H x W gets H/16 x W/16 patches, whatever their size
            size = (height // 16 * self.patch, width // 16 * self.patch)
            x = nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        with constant_positions(self.vit) if torch.jit.is_tracing() else contextlib.nullcontext():
            (x,) = self.vit(x)
        return [self.p3(x), self.p4(x), self.p5(x)]


def normalization(config: Mapping[str, Any], in_channels: int) -> nn.Conv2d:
    """A 1 x 1 convolution that normalizes images as those that timm's weights were trained on.

    Ultralytics does not normalize, and a frozen transformer cannot adapt. It is a convolution since Ultralytics takes
    the channels of the image from the shape of the first parameter when it counts FLOPs; of many transformers, that is
    a token.

    Args:
        config: Timm's `pretrained_cfg`, with `mean` and `std` of each colour, pixels being between 0 and 1.
        in_channels: Channels of the image. If they are not as many as the colours, each gets the average.
    """
    mean, std = torch.tensor(config["mean"]), torch.tensor(config["std"])
    if len(mean) != in_channels:
        mean, std = mean.mean().repeat(in_channels), std.mean().repeat(in_channels)
    layer = nn.Conv2d(in_channels, in_channels, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(1 / std)[:, :, None, None])
        layer.bias.copy_(-mean / std)  # type: ignore[union-attr]  # it has one
    return layer


@contextlib.contextmanager
def constant_positions(vit: nn.Module) -> Iterator[None]:
    """Inside, a trace of `vit` gets its position embeddings for this size of image as constants.

    The ONNX exporter has no operator for the antialiased resize of learned embeddings, and its constant folding fails
    on some rotary ones. The size of a traced image is fixed, so neither has to be in the graph.
    """
    rotary: list[Any] = [m for m in vit.modules() if hasattr(m, "get_embed")]
    for module in rotary:
        module.get_embed = functools.partial(_untraced, module.get_embed)
    try:
        with _ConstantResize():
            yield
    finally:
        for module in rotary:
            del module.get_embed  # the method of its class appears again


class _ConstantResize(TorchFunctionMode):
    """Inside, a trace gets the results of antialiased resizing as constants."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        resizes = func is nn.functional.interpolate and kwargs.get("antialias")
        return _untraced(func, *args, **kwargs) if resizes else func(*args, **kwargs)


def _untraced(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `func` in another thread, since a trace records one thread. Its `size` or `shape` may be traced numbers."""

    @torch.no_grad()
    def call() -> Any:
        return func(*args, **{k: [int(n) for n in v] if k in {"size", "shape"} else v for k, v in kwargs.items()})

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(call).result()


def _project(width: int, channels: int) -> list[nn.Module]:
    """A 1 x 1 convolution and a layer norm over the channels, at each place of a map."""
    from timm.layers import LayerNorm2d  # takes seconds, so it is imported only where a row needs it

    return [nn.Conv2d(width, channels, 1, bias=False), LayerNorm2d(channels)]
