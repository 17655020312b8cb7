"""The hooks that a package implements to add backbones and layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .backbone import Backbone
    from .row_layer import Register

PROJECT = "yolo_starnet"
"""The name of the pluggy project and of the entry-point group of plugins."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Add backbones, which a model YAML can then name in its first row.

    Args:
        register: Call it once for each `Backbone`. If a name or class of one is taken, a warning says so and nothing
            of the plugin is registered.
    """


@hookspec
def register_layers(register: Register) -> None:
    """Add layers that any row of a model YAML may name.

    Args:
        register: Call it once for each `RowLayer`, or for a class, which stands for `RowLayer(class)`. If a name is
            taken, or a class lacks `out_channels`, a warning says so and nothing of the plugin is registered.
    """
