"""What a package implements to add backbones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .backbone import Backbone

PROJECT = "yolo_starnet"
"""The pluggy project name, and the entry-point group that plugins are found by."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Add backbones to the table of names that a model YAML may use.

    Args:
        register: Call it once with each `Backbone`. It raises `PluginError` for a name or class that is taken.
    """
