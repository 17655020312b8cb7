"""Any timm model with `features_only` as a backbone: the row `[-1, 1, timm, {model: NAME}]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from ultralytics.utils import LOGGER

from .. import feature_maps
from ..backbone import Backbone
from ..errors import brief, nearest
from ..hookspecs import hookimpl
from . import imagenet
from .feature_pyramid import CHANNELS, FeaturePyramid

SIZES = (feature_maps.TRIAL_SIZE, (320, 256))
"""Height and width in pixels of the trial images: one below and one above 224, for which most models are made."""

CLASSES = ("timm.models._features.FeatureInfo", "timm.layers.format.Format")
"""The classes that a checkpoint on a timm model holds and that are no `nn.Module`."""


class Attempt(NamedTuple):
    """One way to create a model that accepts images of any size that is a multiple of 32."""

    settings: Mapping[str, Any]
    """Further arguments of `timm.create_model`."""
    multiple: int = 0
    """Pixels that images are padded to a multiple of; 0 for no padding."""

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of the trial images, one of them not square in the multiple."""
        return [*SIZES, (self.multiple, 2 * self.multiple)] if self.multiple else [*SIZES]


ANY_SIZE = (Attempt({}), Attempt({"strict_img_size": False}), Attempt({"dynamic_img_size": True}))
"""Which setting makes a model accept any size depends on its family."""


class TimmFeatures(nn.Module):
    """A timm model whose maps have the channels first, and which sees padded images if it needs them."""

    def __init__(self, name: str, net: Any, multiple: int = 0) -> None:
        """Wrap `net`; with a `multiple`, images are padded to multiples of it and the maps are cut accordingly."""
        super().__init__()
        self.name = name
        self.net = net
        self.multiple = multiple
        self.width_list = net.feature_info.channels()
        self.strides = net.feature_info.reduction()
        self.channel_last = str(getattr(net, "output_fmt", "NCHW")).rpartition(".")[-1] == "NHWC"

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """B x c x H x W to one map per stride s, each B x c x H/s x W/s."""
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
    pyramid_channels: int | None = None,
    **options: Any,
) -> nn.Module:
    """Create a timm model that returns feature maps and accepts images of any size that is a multiple of 32.

    Args:
        in_channels: Channels of the image; timm adapts its weights if they are not three.
        model: timm's name, such as `mobilenetv4_conv_small` or, with the tag of its weights,
            `mobilenetv4_conv_small.e2400_r224_in1k`.
        pretrained: Whether to fetch timm's weights, or the path of a file with them.
        out_indices: Which of its feature maps to use; by default the last one of each stride from 2 to 32.
        pyramid_channels: Channels of P3, P4 and P5 of a plain vision transformer, whose maps have one stride, 14 or 16;
            256 by default. Its last map becomes these three; see `FeaturePyramid`. No option of other models.
        options: Arguments of `timm.create_model`. Some models accept multiples of the size that they were built for,
            but no other. Given that size as `img_size`, images are padded to multiples of it.

    Raises:
        ValueError: timm has no such model, the model has no such option, or it cannot serve as a backbone.
    """
    import timm  # takes seconds, so it is imported only where a row needs it

    if not isinstance(model, str) or not timm.is_model(model):
        raise ValueError(f"timm {timm.__version__} has no model {model!r}{nearest(str(model), timm.list_models())}")
    overlay = imagenet.overlay(pretrained)
    options = {**options, "in_chans": in_channels, "features_only": True}
    net, attempt = first_that_fits(attempts(options), model, out_indices, pyramid_channels, options)
    if not pretrained:
        return net
    maps: Any = net.vit[-1] if isinstance(net, FeaturePyramid) else net
    rest = "" if maps is net else "; none for its feature pyramid"
    options.update(attempt.settings, out_indices=maps.net.feature_info.out_indices, pretrained_cfg_overlay=overlay)
    maps.net = _create(model, pretrained=True, **options)
    LOGGER.info(f"{model}: weights from {imagenet.source(pretrained)}{rest}")
    return net


def attempts(options: Mapping[str, Any]) -> list[Attempt]:
    """The ways to create a model, in the order to try them; padding needs the option `img_size`."""
    size = options.get("img_size")
    return [*ANY_SIZE, Attempt({}, multiple=size)] if size else [*ANY_SIZE]


def first_that_fits(
    attempts: Sequence[Attempt],
    model: str,
    out_indices: Sequence[int] | None,
    pyramid_channels: int | None,
    options: Mapping[str, Any],
) -> tuple[TimmFeatures | FeaturePyramid, Attempt]:
    """The model as the first attempt creates it that can serve as a backbone, and that attempt.

    Raises:
        ValueError: No attempt can. The reason is that of the first, which changes least.
    """
    reasons: list[ValueError] = []
    for attempt in attempts:
        try:
            maps = TimmFeatures(
                model, _with_levels(model, out_indices, {**options, **attempt.settings}), attempt.multiple
            )
            net = _with_pyramid(maps, options["in_chans"], pyramid_channels)
            for size in attempt.sizes:
                feature_maps.check(net, options["in_chans"], size)
        except ValueError as reason:
            reasons.append(reason)
        else:
            return net, attempt
    raise reasons[0]


def _with_levels(model: str, out_indices: Sequence[int] | None, settings: dict[str, Any]) -> Any:
    """The model with the feature maps of `out_indices`, or with the last one of each stride from 2 to 32.

    If all of its maps have one stride, this is the last of them.
    """
    if out_indices is not None:
        return _create(model, out_indices=tuple(out_indices), **settings)
    net = _create(model, **settings)
    strides = _strides(net)
    last = {stride: index for index, stride in enumerate(strides)}
    if len(last) > 1:
        if not set(feature_maps.HEAD_STRIDES) <= set(strides):
            listed = ", ".join(str(s) for s in sorted(last))
            raise ValueError(f"{model} has feature maps of strides {listed}, expected 8, 16 and 32 among them")
        last = {stride: index for stride, index in last.items() if stride in feature_maps.STRIDES}
    indices = tuple(last.values())
    return net if tuple(net.feature_info.out_indices) == indices else _create(model, out_indices=indices, **settings)


def _with_pyramid(maps: TimmFeatures, in_channels: int, channels: int | None) -> TimmFeatures | FeaturePyramid:
    """The model with a feature pyramid on it, if all of its feature maps have one stride."""
    strides = sorted(set(_strides(maps.net)))
    if len(strides) == 1:
        return FeaturePyramid(maps, in_channels, CHANNELS if channels is None else channels)
    if channels is not None:
        raise ValueError(
            f"{maps.name} has feature maps of strides {', '.join(map(str, strides))}, expected one stride, 14 or 16, "
            "for the option pyramid_channels; leave it out"
        )
    return maps


def _strides(net: Any) -> list[int]:
    """The strides of all feature maps of a timm model, in the order of its blocks."""
    return [level["reduction"] for level in net.feature_info.info]


def _create(model: str, **settings: Any) -> Any:
    import timm

    try:
        return timm.create_model(model, **settings)
    except Exception as error:  # models of a thousand authors may raise anything
        raise ValueError(f"timm cannot create {model}: {brief(error)}") from error


@hookimpl
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Register all of timm under one name."""
    register(Backbone.of_module("timm", features, ("timm",), CLASSES))
