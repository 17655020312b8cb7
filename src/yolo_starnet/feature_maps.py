"""Any module that returns its feature maps as a list, spread over the five levels of a backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .errors import brief

STRIDES = (2, 4, 8, 16, 32)
"""Strides of the five levels of a backbone, P1 to P5, in pixels of the image."""
HEAD_STRIDES = (8, 16, 32)
"""Strides of the levels that every detection head takes, P3 to P5."""
TRIAL_SIZE = (96, 128)
"""Height and width in pixels of the trial image: multiples of 32, but neither equal nor both multiples of 64."""


class Built:
    """A module as an argument of a row, which Ultralytics prints on one line."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def __repr__(self) -> str:
        """The module's `name`, or else its class; `repr` of a module has many lines."""
        return _name(self.net)


class FeatureMaps(nn.Module):
    """Layer 0: B x c x H x W to the list of all feature maps, from which the other levels select."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.net = built.net

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Run the module. Its result, any sequence, becomes a list."""
        return list(self.net(x))

    @staticmethod
    def out_channels(built: Built) -> int:
        """Zero channels: no row can take a list."""
        return 0


class Select(nn.Module):
    """Layers 1 to 4: one of the feature maps, B x c x H/s x W/s, or the list if no map has the level's stride s."""

    def __init__(self, position: int | None, channels: int) -> None:
        """Select the map at `position`, or None at a level that no row can take."""
        super().__init__()
        self.position = position

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
        """Return one map."""
        return maps if self.position is None else maps[self.position]

    @staticmethod
    def out_channels(position: int | None, channels: int) -> int:
        """Channels of the map, zero if there is none."""
        return channels


def build(
    module: Callable[..., nn.Module], in_channels: int, options: Mapping[str, Any]
) -> tuple[Built, dict[int, tuple[int, int]]]:
    """Create a module and check the maps that it returns.

    Args:
        module: Called as `module(in_channels, **options)`. The result has `width_list`, the channels of its maps, or
            timm's `feature_info`.
        in_channels: Channels of the image.
        options: The options of the row.

    Returns:
        The module, and for each of `STRIDES` that it has the position and channels of the last such map.

    Raises:
        ValueError: The module cannot be built or run, its maps have other channels than it says, or a stride of
            `HEAD_STRIDES` is missing.
    """
    try:
        net = module(in_channels, **options)
    except ValueError:
        raise
    except Exception as error:  # other people's code may raise anything; the user can change the row
        raise ValueError(f"{_name(module)} cannot be built: {brief(error)}") from error
    return Built(net), check(net, in_channels)


def check(net: nn.Module, in_channels: int, size: tuple[int, int] = TRIAL_SIZE) -> dict[int, tuple[int, int]]:
    """Check the maps of a module on one black image of `size`, H x W.

    Returns and raises what `build` does. The module keeps its mode, and the state of the random numbers stays.
    """
    channels = _channels(net)
    maps = _run(net, in_channels, size)
    if [m.shape[1] for m in maps] != channels:
        raise ValueError(f"{_name(net)} returned {_describe(maps)}, expected {channels} channels, as it says itself")
    strides = [(size[0] / m.shape[2], size[1] / m.shape[3]) for m in maps]
    by_stride = {int(s): (i, channels[i]) for i, (s, across) in enumerate(strides) if s == across and s in STRIDES}
    if not set(HEAD_STRIDES) <= set(by_stride):
        raise ValueError(
            f"{_name(net)} has feature maps of strides {_list(strides, size)}, expected 8, 16 and 32 among them"
        )
    return by_stride


def _run(net: nn.Module, in_channels: int, size: tuple[int, int]) -> Sequence[torch.Tensor]:
    """The maps of one black image in eval mode."""
    training = net.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            maps = net.eval()(torch.zeros(1, in_channels, *size))
    except Exception as error:  # other people's code may raise anything
        raise ValueError(
            f"{_name(net)} fails on an image of {size[0]} x {size[1]} pixels (H x W); it must accept every size that "
            f"is a multiple of 32: {brief(error)}"
        ) from error
    finally:
        net.train(training)
    if not isinstance(maps, (list, tuple)) or not all(isinstance(m, torch.Tensor) and m.dim() == 4 for m in maps):
        raise ValueError(f"{_name(net)} returned {_describe(maps)}, expected a list of tensors B x c x H x W")
    return maps


def _channels(net: Any) -> list[int]:
    """The channels of its maps, as a module says them."""
    if hasattr(net, "width_list"):
        return [int(c) for c in net.width_list]
    if hasattr(net, "feature_info"):
        return [int(c) for c in net.feature_info.channels()]
    raise ValueError(
        f"{_name(net)} has neither 'width_list' nor 'feature_info'; give it a 'width_list', the channels of its maps"
    )


def _list(strides: Sequence[tuple[float, float]], size: tuple[int, int]) -> str:
    """Strides for a message, by height and width where a module has two for one map."""
    if all(down == across for down, across in strides):
        return ", ".join(f"{down:.3g}" for down, _ in strides)
    pairs = (f"{down:.3g}" if down == across else f"{down:.3g} x {across:.3g}" for down, across in strides)
    return f"{', '.join(pairs)} (H x W) on an image of {size[0]} x {size[1]} pixels"


def _describe(maps: object) -> str:
    """The type and shapes of a module's result, for a message."""
    if isinstance(maps, Sequence):
        return "maps of shape " + ", ".join(str(tuple(getattr(m, "shape", [type(m).__name__]))) for m in maps)
    return f"a tensor of shape {tuple(maps.shape)}" if isinstance(maps, torch.Tensor) else f"a {type(maps).__name__}"


def _name(module: object) -> str:
    """The name of a module or of its class, for a message."""
    return str(getattr(module, "name", getattr(module, "__name__", type(module).__name__)))
