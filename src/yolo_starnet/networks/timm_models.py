"""Any timm model with `features_only` as a backbone: the row `[-1, 1, timm, {model: NAME}]`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from ultralytics.utils import LOGGER

from .. import feature_maps
from ..backbone import Backbone
from ..errors import brief
from ..hookspecs import hookimpl
from . import imagenet

ANY_SIZE: tuple[dict[str, Any], ...] = ({}, {"strict_img_size": False}, {"dynamic_img_size": True})
"""What makes models of different families take images of any size."""


SIZES = (feature_maps.PROBE, (320, 256))
"""Height and width of the images that a model is tried with."""


class TimmFeatures(nn.Module):
    """A timm model as it is, with channel-last feature maps put right, and images padded where it needs that."""

    def __init__(self, name: str, net: Any, multiple: int = 0) -> None:
        """Wrap `net`; given a `multiple`, it sees images padded to multiples of it, and its maps are cut."""
        super().__init__()
        self.name = name
        self.net = net
        self.multiple = multiple
        self.width_list = net.feature_info.channels()
        self.strides = net.feature_info.reduction()
        self.channel_last = str(getattr(net, "output_fmt", "NCHW")).rpartition(".")[-1] == "NHWC"

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """B x c x H x W to one map per stride, each B x c x H/s x W/s."""
        height, width = x.shape[2:]
        if self.multiple:
            x = nn.functional.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        maps = list(self.net(x))
        if self.channel_last:
            maps = [m.permute(0, 3, 1, 2).contiguous() for m in maps]
        if self.multiple:
            maps = [m[:, :, : height // s, : width // s] for m, s in zip(maps, self.strides)]
        return maps


def features(
    in_channels: int,
    *,
    model: str,
    pretrained: bool | str = False,
    out_indices: Sequence[int] | None = None,
    **options: Any,
) -> nn.Module:
    """Create a timm model that returns its feature maps, told to take images of any size where it has to be told.

    Args:
        in_channels: Channels of the image; timm adapts its weights where they are not three.
        model: timm's name, such as `mobilenetv4_conv_small` or, with the tag of its weights,
            `mobilenetv4_conv_small.e2400_r224_in1k`.
        pretrained: Whether to fetch timm's weights, or the path of a file with them.
        out_indices: Which of its feature maps to take; the last one of each stride from 2 to 32 unless given.
        options: Passed on to `timm.create_model`. A model that takes no image of another size than it was built for,
            but multiples of it, gets images padded to multiples of `img_size`, if that is given.

    Raises:
        ValueError: There is no such model, it takes no such option, or it cannot serve as a backbone.
    """
    import timm  # takes seconds, so only where a row needs it

    if not isinstance(model, str) or not timm.is_model(model):
        near = difflib.get_close_matches(str(model), timm.list_models(), n=3)
        raise ValueError(f"timm {timm.__version__} has no model {model!r}" + (f"; there are {near}" if near else ""))
    overlay = imagenet.overlay(pretrained)
    given = {**options, "in_chans": in_channels, "features_only": True}
    problem: ValueError | None = None
    # A model built for an image size that takes no other may still take multiples of it.
    for sized, multiple in [*((sized, 0) for sized in ANY_SIZE), ({}, options.get("img_size", 0))]:
        try:
            net = TimmFeatures(model, _with_levels(model, out_indices, {**given, **sized}), multiple)
            for size in (*SIZES, (multiple, 2 * multiple))[: 3 if multiple else 2]:
                feature_maps.check(net, in_channels, size)
        except ValueError as error:
            problem = problem or error
            continue
        if pretrained:
            indices = net.net.feature_info.out_indices
            settings = {**given, **sized, "out_indices": indices, "pretrained_cfg_overlay": overlay}
            net = TimmFeatures(model, _create(model, pretrained=True, **settings), multiple)
            LOGGER.info(f"{model}: weights from {imagenet.told(pretrained)}")
        return net
    assert problem
    raise problem


def _with_levels(model: str, out_indices: Sequence[int] | None, settings: dict[str, Any]) -> Any:
    """The model with the feature maps asked for, or with the last one of each stride that a backbone has."""
    if out_indices is not None:
        return _create(model, out_indices=tuple(out_indices), **settings)
    net = _create(model, **settings)
    strides = [level["reduction"] for level in net.feature_info.info]
    if not set(feature_maps.NEEDED) <= set(strides):
        told = ", ".join(str(s) for s in sorted(set(strides)))
        raise ValueError(f"{model} has feature maps of strides {told}, expected 8, 16 and 32 among them")
    indices = tuple({s: i for i, s in enumerate(strides) if s in feature_maps.STRIDES}.values())
    return net if tuple(net.feature_info.out_indices) == indices else _create(model, out_indices=indices, **settings)


def _create(model: str, **settings: Any) -> Any:
    import timm

    try:
        return timm.create_model(model, **settings)
    except Exception as error:  # models of a thousand authors raise what they like
        raise ValueError(f"timm cannot create {model}: {brief(error)}") from error


@hookimpl
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Register all of timm under one name."""
    register(Backbone.of_module("timm", features, ("timm",)))
