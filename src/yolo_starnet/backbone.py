"""Backbone and Layer: the vocabulary that plugins are written in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from . import feature_maps


@dataclass(frozen=True)
class Layer:
    """One layer of an expanded backbone: `module(*args)`, fed by the layer before it or by `source`.

    Attributes:
        module: A class with a static method `out_channels(*args) -> int`, the channels of what `module(*args)` returns.
        args: Its positional arguments, all of them, input channels included.
        source: The row's `from`: -1, or the index of an earlier layer of the backbone.
    """

    module: type[nn.Module]
    args: tuple[Any, ...]
    source: int = -1

    @property
    def channels(self) -> int:
        """Output channels, as `module` answers for `args`; zero where the layer returns no feature map."""
        return int(self.module.out_channels(*self.args))  # type: ignore[attr-defined]  # checked when registered


@dataclass(frozen=True)
class Backbone:
    """A network that a model YAML can name in its first row.

    Attributes:
        name: The row's module name: lower case, digits and underscores.
        build: `build(in_channels, **options) -> five layers`, P1/2 to P5/32. Its keyword-only parameters are the row's
            options; one called `width` follows the model scale unless the row sets it. It raises `ValueError` for an
            option that it cannot take.
        modules: Every class that `build` may name in a `Layer`.
        packages: Top-level packages, beside those of `modules`, whose classes a checkpoint may hold.
        load_weights: `load_weights(layers, in_channels, pretrained)` fills the five built layers where a row gives
            `pretrained`, or raises `ValueError`. It runs when a model is built from YAML, not for a checkpoint.
        distribution: The installed package that registered it; nothing for those of this one. Filled in here.
    """

    name: str
    build: Callable[..., Sequence[Layer]]
    modules: tuple[type[nn.Module], ...]
    packages: tuple[str, ...] = ()
    load_weights: Callable[[Sequence[nn.Module], int, Any], None] | None = None
    distribution: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """The option names that a row may give, in the order of the signature of `build`."""
        return tuple(p.name for p in self._parameters() if p.kind is p.KEYWORD_ONLY)

    @property
    def required(self) -> tuple[str, ...]:
        """The options that a row must give."""
        return tuple(p.name for p in self._parameters() if p.kind is p.KEYWORD_ONLY and p.default is p.empty)

    @property
    def takes_any(self) -> bool:
        """Whether `build` takes options beside those that it names, and has its own words for those it does not."""
        return any(p.kind is p.VAR_KEYWORD for p in self._parameters())

    def _parameters(self) -> list[inspect.Parameter]:
        return list(inspect.signature(self.build).parameters.values())

    @property
    def all_packages(self) -> set[str]:
        """The top-level packages that define the classes of its layers."""
        return {*self.packages, *(module.__module__.partition(".")[0] for module in self.modules)}

    @classmethod
    def of_module(cls, name: str, module: Callable[..., nn.Module], packages: Sequence[str] = ()) -> Backbone:
        """A backbone of any module that returns its feature maps as a list: P1 or P2 or P3 up to P5, lowest first.

        The module is layer 0 and the others select from it, so the indices 1 to 4 are P2 to P5, as for every backbone.

        Args:
            name: The row's module name.
            module: Called as `module(in_channels, **options)`. What it makes has `width_list`, the channels of its
                maps, or timm's `feature_info`. Its keyword parameters after the first are the row's options; one called
                `width` follows the model scale.
            packages: Top-level packages, beside that of `module`, whose classes a checkpoint may hold.
        """

        def build(in_channels: int, **options: Any) -> list[Layer]:
            built, found = feature_maps.build(module, in_channels, options)
            chosen = [found.get(stride, (None, 0)) for stride in feature_maps.STRIDES[1:]]
            return [Layer(feature_maps.FeatureMaps, (built,)), *(Layer(feature_maps.Select, c, 0) for c in chosen)]

        first = inspect.Parameter("in_channels", inspect.Parameter.POSITIONAL_ONLY)
        build.__signature__ = inspect.Signature([first, *feature_maps.options(module)])  # type: ignore[attr-defined]
        home = getattr(module, "func", module).__module__.partition(".")[0]  # .func where it is a partial
        return cls(name, build, (feature_maps.FeatureMaps, feature_maps.Select), (home, *packages))
