"""StarNet backbones for stock Ultralytics YOLO. Importing this package activates them.

>>> import yolo_starnet
>>> from ultralytics import YOLO
>>> model = YOLO("yolo11n-starnet.yaml")
"""

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
]

activate()
