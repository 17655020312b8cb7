"""The hook that a package implements to add backbones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .backbone import Backbone

PROJECT = "yolo_starnet"
"""The name of the pluggy project and of the entry-point group of plugins."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Add backbones, which a model YAML can then name in its first row.

    Args:
        register: Call it once for each `Backbone`. If a name or class of one is taken, a warning says so and all
            backbones of the plugin are left out.
    """
