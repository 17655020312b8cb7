"""StarNet backbones for stock Ultralytics YOLO. Importing this package activates them.

>>> import yolo_starnet
>>> from ultralytics import YOLO
>>> model = YOLO("yolo11n-starnet.yaml")
"""

from .backbone import Backbone, Layer
from .hookspecs import hookimpl
from .patching.patch import activate, deactivate, is_active
from .plugins import backbones
from .version import __version__

__all__ = ["Backbone", "Layer", "__version__", "activate", "backbones", "deactivate", "hookimpl", "is_active"]

activate()
