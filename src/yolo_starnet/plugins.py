"""The one table of what plugins registered."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pluggy
from torch import nn
from ultralytics.nn import tasks

from . import hookspecs
from .backbone import Backbone
from .errors import PluginError
from .row_layer import Registered, RowLayer

_lock = threading.RLock()
_table: Table | None = None


def backbones() -> dict[str, Backbone]:
    """The registered backbones by name, those of other packages included."""
    return dict(table())


def layers() -> dict[str, RowLayer]:
    """The registered layers by name, those of other packages included."""
    return dict(table().layers)


def table() -> Table:
    """The table of the plugins that are installed, collected once in a process.

    A plugin whose own import activates this package, as when a checkpoint is unpickled, is only half imported then. The
    next call after its import adds it.
    """
    global _table
    with _lock:
        if _table is None:
            _table = load(reserved=vars(tasks))
        elif _table.pending:
            _load_into(_table, _table.pending)
        return _table


class Table(dict[str, Backbone]):
    """The registered backbones by name, with the registered layers beside them.

    Attributes:
        layers: The layers that any row may name, by name.
        modules: The classes that the parser must know, by class name.
        reserved: Names that Ultralytics has taken.
        pending: The entry points of plugins that are only half imported.
        left_out: The entry points of plugins that are left out, each with the error that it raised.
    """

    def __init__(self, reserved: Mapping[str, object]) -> None:
        super().__init__()
        self.reserved = reserved
        self.pending: list[importlib.metadata.EntryPoint] = []
        self.left_out: dict[importlib.metadata.EntryPoint, BaseException] = {}
        self.layers: dict[str, RowLayer] = {}
        self.modules: dict[str, type[nn.Module]] = {}

    @property
    def parts(self) -> set[str]:
        """The names of the classes that are layers of a backbone, and so in no row of a YAML."""
        return self.modules.keys() - self.layers.keys()

    @property
    def packages(self) -> set[str]:
        """The packages whose modules (`nn.Module`) a checkpoint may hold."""
        return {package for entry in self._entries for package in entry.all_packages}

    @property
    def classes(self) -> set[str]:
        """Full names of the classes that are no `nn.Module` and that a checkpoint may hold."""
        return {name for entry in self._entries for name in entry.classes}

    @property
    def _entries(self) -> list[Backbone | RowLayer]:
        return [*self.values(), *self.layers.values()]

    def layer_of(self, module: object) -> RowLayer | None:
        """The registered layer of a class, None for any other."""
        layer = self.layers.get(getattr(module, "__name__", ""))
        return layer if layer and layer.module is module else None

    def add(self, backbones: Iterable[Backbone], layers: Iterable[Registered] = (), distribution: str = "") -> None:
        """Add all `backbones` and `layers` of the package `distribution`, or none of them.

        Raises:
            PluginError: One of them is not valid, or its name is taken.
        """
        new = Table(self.reserved)
        new.update(self)
        new.layers, new.modules = dict(self.layers), dict(self.modules)
        for backbone in backbones:
            new._add_backbone(backbone, distribution)
        for layer in layers:
            new._add_layer(layer, distribution)
        self.update(new)
        self.layers, self.modules = new.layers, new.modules

    def _add_backbone(self, backbone: Backbone, distribution: str) -> None:
        if not isinstance(backbone, Backbone):
            raise PluginError(f"register() takes a Backbone, found {backbone!r}")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", backbone.name):
            raise PluginError(f"backbone name {backbone.name!r} must be lower-case letters, digits and underscores")
        if backbone.name in self or backbone.name in self.reserved:
            raise PluginError(f"backbone name {backbone.name!r} is taken; choose another")
        for module in backbone.modules:
            if not callable(getattr(module, "out_channels", None)):
                raise PluginError(f"{module.__name__} of {backbone.name!r} lacks a static method out_channels(*args)")
            self._add_module(module, f"of {backbone.name!r}")
        self[backbone.name] = replace(backbone, distribution=distribution)

    def _add_layer(self, registered: Registered, distribution: str) -> None:
        layer = registered if isinstance(registered, RowLayer) else RowLayer(registered)
        if problem := layer.problem():
            raise PluginError(problem)
        if layer.name in self.layers:
            raise PluginError(f"layer name {layer.name!r} is taken; choose another")
        self._add_module(layer.module, "of a layer")
        self.layers[layer.name] = replace(layer, distribution=distribution)

    def _add_module(self, module: type[nn.Module], owner: str) -> None:
        name = module.__name__
        if self.modules.setdefault(name, module) is not module or self.reserved.get(name, module) is not module:
            raise PluginError(f"class name {name!r} {owner} is taken; choose another")


def load(reserved: Mapping[str, object]) -> Table:
    """Collect the backbones and layers of every installed plugin.

    A plugin that fails to import, raises, clashes or needs another release is left out with a warning that names it.
    The environment variable `YOLO_STARNET_DISABLE`, entry points with commas between, leaves plugins out silently.

    Args:
        reserved: Names that no backbone, layer or class may take.

    Returns:
        The table, StarNet first.
    """
    table = Table(reserved)
    entries = {e for e in importlib.metadata.entry_points(group=hookspecs.PROJECT) if e.name not in disabled()}
    # Our own come first, so that a plugin that clashes with them is left out, not they.
    _load_into(table, sorted(entries, key=lambda e: (not _ours(e), e.name, e.value)))
    return table


def disabled() -> set[str]:
    """The entry points that the user leaves out."""
    return {name.strip() for name in os.environ.get("YOLO_STARNET_DISABLE", "").split(",")}


def _load_into(table: Table, entries: Iterable[importlib.metadata.EntryPoint]) -> None:
    """Add to a table what plugins register. Those that are only half imported become its `pending`."""
    entries, table.pending = list(entries), []
    for entry in entries:
        if _is_half_imported(entry.module):
            table.pending.append(entry)
            continue
        try:
            distribution = "" if _ours(entry) or entry.dist is None else entry.dist.name
            table.add(*_registered_by(entry), distribution)
        except (Exception, SystemExit) as error:  # a broken plugin must not break `import yolo_starnet`
            table.left_out[entry] = error
            message = (
                f"yolo-starnet plugin '{entry.name}' ({entry.value}) is left out: {error!r}. Update it or "
                f"yolo-starnet, or silence this warning with YOLO_STARNET_DISABLE={entry.name}"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def _is_half_imported(name: str) -> bool:
    """Whether the import of a module has begun and not ended: its hooks are not defined yet."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return getattr(spec, "_initializing", False)


def _registered_by(entry: importlib.metadata.EntryPoint) -> tuple[list[Backbone], list[Registered]]:
    """The backbones and layers that one plugin registers."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)  # one per plugin, so that a broken one affects no other
    manager.add_hookspecs(hookspecs)
    manager.register(entry.load(), entry.name)
    manager.check_pending()
    backbones: list[Backbone] = []
    layers: list[Registered] = []
    manager.hook.register_backbones(register=backbones.append)
    manager.hook.register_layers(register=layers.append)
    return backbones, layers


def _ours(entry: importlib.metadata.EntryPoint) -> bool:
    """Whether this package ships the plugin."""
    return entry.value.startswith(f"{hookspecs.PROJECT}.")
