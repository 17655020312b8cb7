"""Any module that returns its feature maps as a list, spread over the five levels of a backbone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .errors import brief

STRIDES = (2, 4, 8, 16, 32)
"""Of the five levels, P1/2 to P5/32."""
NEEDED = (8, 16, 32)
"""Those that every detection head takes."""
PROBE = (96, 128)
"""Height and width of the one image that a module is checked with: multiples of 32, neither square nor of 64."""


class Built:
    """Carries a module through the arguments of a row, which Ultralytics prints."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def __repr__(self) -> str:
        """What the module calls itself, or its class, since a module prints itself on many lines."""
        return _name(self.net)


class FeatureMaps(nn.Module):
    """Layer 0: B x c x H x W to the list of feature maps of `net`, which the other levels select from."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.net = built.net

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Run the module, in whatever form it returns its sequence."""
        return list(self.net(x))

    @staticmethod
    def out_channels(built: Built) -> int:
        """Zero: a list has no channels, so no row can take it."""
        return 0


class Select(nn.Module):
    """Layers 1 to 4: one of the feature maps, B x c x H/s x W/s, or the list where there is none of this stride."""

    def __init__(self, position: int | None, channels: int) -> None:
        """Select the map at `position`; None where no row may ask for this level."""
        super().__init__()
        self.position = position

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
        """Pick one map."""
        return maps if self.position is None else maps[self.position]

    @staticmethod
    def out_channels(position: int | None, channels: int) -> int:
        """The channels of that map; zero where there is none."""
        return channels


def options(module: Callable[..., nn.Module]) -> list[inspect.Parameter]:
    """The options that a row may give: the parameters of `module` after the first, by keyword."""
    parameters = [p for p in list(inspect.signature(module).parameters.values())[1:] if p.kind is not p.VAR_POSITIONAL]
    return [p if p.kind is p.VAR_KEYWORD else p.replace(kind=p.KEYWORD_ONLY) for p in parameters]


def build(module: Callable[..., nn.Module], in_channels: int, given: Mapping[str, Any]) -> tuple[Built, dict[int, Any]]:
    """Make the module once, and check once what it returns.

    Args:
        module: Called as `module(in_channels, **given)`. What it makes has `width_list`, the channels of its maps, or
            timm's `feature_info`.
        in_channels: Channels of the image.
        given: The row's options.

    Returns:
        The module, and of each stride that it has a map of, the position of the last such map and its channels.

    Raises:
        ValueError: It cannot be built or run, or its maps are not what it says or not of strides 8, 16 and 32.
    """
    try:
        net = module(in_channels, **given)
    except ValueError:
        raise
    except Exception as error:  # whatever the code of others raises, the row is what the user can change
        raise ValueError(f"{_name(module)} cannot be built: {brief(error)}") from error
    return Built(net), check(net, in_channels)


def check(net: nn.Module, in_channels: int, size: tuple[int, int] = PROBE) -> dict[int, Any]:
    """Run `net` on one black image of `size` and compare what it returns with what it says; see `build`."""
    channels = _channels(net)
    training = net.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            maps = net.eval()(torch.zeros(1, in_channels, *size))
    except Exception as error:
        raise ValueError(
            f"{_name(net)} fails on an image of {size[0]} x {size[1]} pixels (H x W), as every multiple of 32 may "
            f"come: {brief(error)}"
        ) from error
    finally:
        net.train(training)
    if not isinstance(maps, (list, tuple)) or not all(isinstance(m, torch.Tensor) and m.dim() == 4 for m in maps):
        raise ValueError(f"{_name(net)} returned {_describe(maps)}, expected a list of tensors B x c x H x W")
    if [m.shape[1] for m in maps] != channels:
        raise ValueError(f"{_name(net)} returned {_describe(maps)}, expected {channels} channels, as it says itself")
    strides = [(size[0] / m.shape[2], size[1] / m.shape[3]) for m in maps]
    found = {int(s): (i, channels[i]) for i, (s, across) in enumerate(strides) if s == across and s in STRIDES}
    if not set(NEEDED) <= set(found):
        told = ", ".join(f"{s:.3g}" if s == across else f"{s:.3g} x {across:.3g}" for s, across in strides)
        at = (
            "" if all(s == across for s, across in strides) else f" (H x W) on an image of {size[0]} x {size[1]} pixels"
        )
        raise ValueError(f"{_name(net)} has feature maps of strides {told}{at}, expected 8, 16 and 32 among them")
    return found


def _channels(net: Any) -> list[int]:
    if hasattr(net, "width_list"):
        return [int(c) for c in net.width_list]
    if hasattr(net, "feature_info"):
        return [int(c) for c in net.feature_info.channels()]
    raise ValueError(f"{_name(net)} has neither 'width_list' nor 'feature_info', which tell the channels of its maps")


def _describe(maps: object) -> str:
    if isinstance(maps, Sequence):
        return "maps of shape " + ", ".join(str(tuple(getattr(m, "shape", [type(m).__name__]))) for m in maps)
    return f"a tensor of shape {tuple(maps.shape)}" if isinstance(maps, torch.Tensor) else f"a {type(maps).__name__}"


def _name(module: object) -> str:
    return str(getattr(module, "name", getattr(module, "__name__", type(module).__name__)))
