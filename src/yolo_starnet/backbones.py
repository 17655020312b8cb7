"""Backbone, Layer, and the one table of registered names."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pluggy
from torch import nn

from . import hookspecs
from .errors import PluginError


@dataclass(frozen=True)
class Layer:
    """One layer of an expanded backbone: `module(*args)`, fed by the layer before it.

    Attributes:
        module: A class with a static method `out_channels(*args) -> int`, the channels of what `module(*args)` returns.
        args: Its positional arguments, all of them, input channels included.
    """

    module: type[nn.Module]
    args: tuple[Any, ...]

    @property
    def channels(self) -> int:
        """Output channels, as `module` answers for `args`."""
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
    """

    name: str
    build: Callable[..., Sequence[Layer]]
    modules: tuple[type[nn.Module], ...]

    @property
    def options(self) -> tuple[str, ...]:
        """The option names that a row may give, in the order of the signature of `build`."""
        return tuple(p.name for p in self._parameters())

    @property
    def required(self) -> tuple[str, ...]:
        """The options that a row must give."""
        return tuple(p.name for p in self._parameters() if p.default is p.empty)

    def _parameters(self) -> list[inspect.Parameter]:
        return [p for p in inspect.signature(self.build).parameters.values() if p.kind is p.KEYWORD_ONLY]


class Table(dict[str, Backbone]):
    """The registered backbones by name; `modules` are the classes they are made of, by class name."""

    def __init__(self, reserved: Mapping[str, object]) -> None:
        super().__init__()
        self.reserved = reserved
        self.modules: dict[str, type[nn.Module]] = {}

    def add(self, backbones: Iterable[Backbone]) -> None:
        """Add all of `backbones`, or raise `PluginError` and add none."""
        names = dict(self)
        modules = dict(self.modules)
        for backbone in backbones:
            if not isinstance(backbone, Backbone):
                raise PluginError(f"register() takes a Backbone, found {backbone!r}")
            if not re.fullmatch(r"[a-z][a-z0-9_]*", backbone.name):
                raise PluginError(f"backbone name {backbone.name!r} must be lower-case letters, digits and underscores")
            if backbone.name in names or backbone.name in self.reserved:
                raise PluginError(f"backbone name {backbone.name!r} is taken; choose another")
            names[backbone.name] = backbone
            for module in backbone.modules:
                if not callable(getattr(module, "out_channels", None)):
                    raise PluginError(
                        f"{module.__name__} of {backbone.name!r} lacks a static method out_channels(*args)"
                    )
                key = module.__name__
                if modules.setdefault(key, module) is not module or self.reserved.get(key, module) is not module:
                    raise PluginError(f"class name {key!r} of {backbone.name!r} is taken; choose another")
        self.update(names)
        self.modules.update(modules)


def load(reserved: Mapping[str, object]) -> Table:
    """Collect the backbones of every installed plugin.

    A plugin that fails to import, raises or clashes is named in a warning and left out.

    Args:
        reserved: Names that no backbone or class may take.

    Returns:
        The table, StarNet first.
    """
    table = Table(reserved)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    found = set(importlib.metadata.entry_points(group=hookspecs.PROJECT))
    # Our own come first, so that in a clash it is the other that is left out.
    for entry in sorted(found, key=lambda e: (not e.value.startswith(f"{hookspecs.PROJECT}."), e.name, e.value)):
        try:
            plugin = entry.load()
            others = manager.get_plugins()
            manager.register(plugin, entry.name)
            manager.check_pending()
            backbones: list[Backbone] = []
            manager.subset_hook_caller("register_backbones", others)(register=backbones.append)
            table.add(backbones)
        except Exception as error:  # a broken plugin of somebody else's must not break `import yolo_starnet`
            message = f"yolo-starnet plugin '{entry.name}' ({entry.value}) is left out: {error!r}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return table
