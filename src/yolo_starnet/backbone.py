"""Backbone and Layer: the two classes that a plugin is written with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from . import feature_maps


@dataclass(frozen=True)
class Layer:
    """One layer of a backbone: `module(*args)`.

    Attributes:
        module: A class with a static method `out_channels(*args) -> int`, the output channels of `module(*args)`.
        args: All of its positional arguments, input channels included.
        source: Where its input comes from, the row's `from`: -1 for the layer before it, or the index of an earlier
            layer of the backbone.
    """

    module: type[nn.Module]
    args: tuple[Any, ...]
    source: int = -1

    @property
    def channels(self) -> int:
        """Output channels; zero if the layer returns no feature map."""
        return int(self.module.out_channels(*self.args))  # type: ignore[attr-defined]  # checked when registered


@dataclass(frozen=True)
class Backbone:
    """A network that a model YAML can name in its first row.

    Attributes:
        name: The row's module name: lower case, digits and underscores.
        build: `build(in_channels, **options)` returns five layers, P1/2 to P5/32. Its keyword-only parameters are the
            row's options; an option `width` follows the model scale unless the row sets it. For a value that it cannot
            use, it raises `ValueError`.
        modules: Every class that `build` may use in a `Layer`.
        packages: Packages, in addition to the top-level ones of `modules`, whose modules (`nn.Module`) a checkpoint may
            hold. A restricted load imports these and no submodule of them.
        load_weights: `load_weights(layers, in_channels, pretrained)` loads weights into the five built layers, or
            raises `ValueError`. It runs when a model is built from a YAML whose row gives `pretrained`, not when a
            checkpoint is loaded.
        distribution: The installed package that registered it, filled in on registration; empty for this package.
        options_of: A callable whose parameters after the first are the row's options, if not `build`.
        classes: Full names of other classes in its packages that a checkpoint may hold, such as
            `timm.models._features.FeatureInfo`.
    """

    name: str
    build: Callable[..., Sequence[Layer]]
    modules: tuple[type[nn.Module], ...]
    packages: tuple[str, ...] = ()
    load_weights: Callable[[Sequence[nn.Module], int, Any], None] | None = None
    distribution: str = ""
    options_of: Callable[..., Any] | None = None
    classes: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that a row may give, in the order of the signature."""
        return tuple(p.name for p in self._parameters() if p.kind is not p.VAR_KEYWORD)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the options that a row must give."""
        return tuple(p.name for p in self._parameters() if p.kind is not p.VAR_KEYWORD and p.default is p.empty)

    @property
    def takes_any(self) -> bool:
        """Whether a row may give any other option too; `build` then refuses those that it does not know."""
        return any(p.kind is p.VAR_KEYWORD for p in self._parameters())

    def takes(self, option: object) -> bool:
        """Whether a row may give `option` beside `options`: any name but that of the image's channels."""
        channels = next(iter(inspect.signature(self.options_of or self.build).parameters), None)
        return self.takes_any and isinstance(option, str) and option != channels

    def _parameters(self) -> list[inspect.Parameter]:
        """The parameters that options are passed to, `**options` included."""
        if self.options_of is None:
            parameters = inspect.signature(self.build).parameters.values()
            return [p for p in parameters if p.kind in {p.KEYWORD_ONLY, p.VAR_KEYWORD}]
        after_the_first = list(inspect.signature(self.options_of).parameters.values())[1:]
        return [p for p in after_the_first if p.kind is not p.VAR_POSITIONAL]

    @property
    def all_packages(self) -> set[str]:
        """The top-level packages that define the classes of its layers."""
        return {*self.packages, *(module.__module__.partition(".")[0] for module in self.modules)}

    @classmethod
    def of_module(
        cls,
        name: str,
        module: Callable[..., nn.Module],
        packages: Sequence[str] = (),
        classes: Sequence[str] = (),
    ) -> Backbone:
        """A backbone from any module that returns a list of feature maps, from P1, P2 or P3 up to P5, lowest first.

        The module is layer 0. Layers 1 to 4 select P2 to P5 from its list, so the indices are those of every backbone.

        Args:
            name: The row's module name.
            module: Called as `module(in_channels, **options)`. The result has `width_list`, the channels of its maps,
                or timm's `feature_info`. The parameters after the first are the row's options; an option `width`
                follows the model scale unless the row sets it.
            packages: Packages, in addition to the top-level one of `module`, as in `Backbone`.
            classes: Full names of classes that are no `nn.Module`, as in `Backbone`.
        """
        home = getattr(module, "func", module).__module__.partition(".")[0]  # a partial has the module in .func
        return cls(
            name,
            functools.partial(_select_levels, module),
            (feature_maps.FeatureMaps, feature_maps.Select),
            (home, *packages),
            options_of=module,
            classes=tuple(classes),
        )


def _select_levels(module: Callable[..., nn.Module], in_channels: int, /, **options: Any) -> list[Layer]:
    """The five layers of a backbone from `module`."""
    built, by_stride = feature_maps.build(module, in_channels, options)
    selected = [by_stride.get(stride, (None, 0)) for stride in feature_maps.STRIDES[1:]]
    return [Layer(feature_maps.FeatureMaps, (built,)), *(Layer(feature_maps.Select, args, 0) for args in selected)]
