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
    """The registered backbones by name; `modules` are the classes they are made of, by class name."""

    def __init__(self, reserved: Mapping[str, object]) -> None:
        super().__init__()
        self.reserved = reserved
        self.modules: dict[str, type[nn.Module]] = {}

    def add(self, backbones: Iterable[Backbone], distribution: str = "") -> None:
        """Add all of `backbones`, which came from `distribution`, or raise `PluginError` and add none."""
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

    A plugin that fails to import, raises, clashes or wants what this release lacks is named in a warning and left out.
    Those whose entry points are named in the environment variable `YOLO_STARNET_DISABLE`, with commas between, are left
    out without a word.

    Args:
        reserved: Names that no backbone or class may take.

    Returns:
        The table, StarNet first.
    """
    table = Table(reserved)
    disabled = {name.strip() for name in os.environ.get("YOLO_STARNET_DISABLE", "").split(",")}
    found = {e for e in importlib.metadata.entry_points(group=hookspecs.PROJECT) if e.name not in disabled}
    # Our own come first, so that in a clash it is the other that is left out.
    for entry in sorted(found, key=lambda e: (not _ours(e), e.name, e.value)):
        try:
            table.add(_backbones_of(entry), "" if _ours(entry) or entry.dist is None else entry.dist.name)
        except Exception as error:  # a broken plugin of somebody else's must not break `import yolo_starnet`
            message = (
                f"yolo-starnet plugin '{entry.name}' ({entry.value}) is left out: {error!r}. Update it or "
                f"yolo-starnet, or leave it out unasked with YOLO_STARNET_DISABLE={entry.name}"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return table


def _backbones_of(entry: importlib.metadata.EntryPoint) -> list[Backbone]:
    manager = pluggy.PluginManager(hookspecs.PROJECT)  # one for each, so that none can spoil it for the others
    manager.add_hookspecs(hookspecs)
    manager.register(entry.load(), entry.name)
    manager.check_pending()
    found: list[Backbone] = []
    manager.hook.register_backbones(register=found.append)
    return found


def _ours(entry: importlib.metadata.EntryPoint) -> bool:
    return entry.value.startswith(f"{hookspecs.PROJECT}.")
