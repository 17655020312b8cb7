"""StarNet backbones for stock Ultralytics YOLO. Importing this package activates them.

>>> import yolo_starnet
>>> from ultralytics import YOLO
>>> model = YOLO("yolo11n-starnet.yaml")
"""

from typing import Any

from .backbone import Backbone, Layer
from .hookspecs import hookimpl
from .patching.patch import activate, deactivate, is_active
from .plugins import backbones, layers
from .row_layer import RowLayer
from .version import __version__

__all__ = [
    "Backbone",
    "Layer",
    "RowLayer",
    "__version__",
    "activate",
    "backbones",
    "deactivate",
    "hookimpl",
    "is_active",
    "layers",
    "transplant",
]


def __getattr__(name: str) -> Any:
    """Import `transplant` late: it needs Ultralytics' trainers, which most programs do not."""
    if name == "transplant":
        from .transplanting.run import transplant

        return transplant
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


activate()
