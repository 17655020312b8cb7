"""The one table of what plugins registered."""

from __future__ import annotations

import importlib.metadata
import os
import re
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

_lock = threading.RLock()
_table: Table | None = None


def backbones() -> dict[str, Backbone]:
    """The registered backbones by name, those of other packages included."""
    return dict(table())


def table() -> Table:
    """The table of the plugins that are installed, collected once in a process."""
    global _table
    with _lock:
        if _table is None:
            _table = load(reserved=vars(tasks))
        return _table


class Table(dict[str, Backbone]):
    """The registered backbones by name. `modules` holds the classes of their layers by class name."""

    def __init__(self, reserved: Mapping[str, object]) -> None:
        super().__init__()
        self.reserved = reserved
        self.modules: dict[str, type[nn.Module]] = {}

    def add(self, backbones: Iterable[Backbone], distribution: str = "") -> None:
        """Add all `backbones` of the package `distribution`, or raise `PluginError` and add none."""
        names = dict(self)
        modules = dict(self.modules)
        for backbone in backbones:
            if not isinstance(backbone, Backbone):
                raise PluginError(f"register() takes a Backbone, found {backbone!r}")
            if not re.fullmatch(r"[a-z][a-z0-9_]*", backbone.name):
                raise PluginError(f"backbone name {backbone.name!r} must be lower-case letters, digits and underscores")
            if backbone.name in names or backbone.name in self.reserved:
                raise PluginError(f"backbone name {backbone.name!r} is taken; choose another")
            names[backbone.name] = replace(backbone, distribution=distribution)
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

    A plugin that fails to import, raises, clashes or needs another release is left out with a warning that names it.
    The environment variable `YOLO_STARNET_DISABLE`, entry points with commas between, leaves plugins out silently.

    Args:
        reserved: Names that no backbone and no class may take.

    Returns:
        The table, StarNet first.
    """
    table = Table(reserved)
    disabled = {name.strip() for name in os.environ.get("YOLO_STARNET_DISABLE", "").split(",")}
    entries = {e for e in importlib.metadata.entry_points(group=hookspecs.PROJECT) if e.name not in disabled}
    # Our own come first, so that a plugin that clashes with them is left out, not they.
    for entry in sorted(entries, key=lambda e: (not _ours(e), e.name, e.value)):
        try:
            table.add(_backbones_of(entry), "" if _ours(entry) or entry.dist is None else entry.dist.name)
        except Exception as error:  # a broken plugin must not break `import yolo_starnet`
            message = (
                f"yolo-starnet plugin '{entry.name}' ({entry.value}) is left out: {error!r}. Update it or "
                f"yolo-starnet, or silence this warning with YOLO_STARNET_DISABLE={entry.name}"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return table


def _backbones_of(entry: importlib.metadata.EntryPoint) -> list[Backbone]:
    """The backbones that one plugin registers."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)  # one per plugin, so that a broken one affects no other
    manager.add_hookspecs(hookspecs)
    manager.register(entry.load(), entry.name)
    manager.check_pending()
    registered: list[Backbone] = []
    manager.hook.register_backbones(register=registered.append)
    return registered


def _ours(entry: importlib.metadata.EntryPoint) -> bool:
    """Whether this package ships the plugin."""
    return entry.value.startswith(f"{hookspecs.PROJECT}.")
