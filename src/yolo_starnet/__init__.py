"""StarNet backbones for stock Ultralytics YOLO: importing this package is all that it takes.

>>> import yolo_starnet
>>> from ultralytics import YOLO
>>> model = YOLO("yolo11n-starnet.yaml")
"""

from .backbone import Backbone, Layer
from .hookspecs import hookimpl
from .patching.patch import activate, deactivate, is_active
from .plugins import backbones

__version__ = "0.1.0"
__all__ = ["Backbone", "Layer", "__version__", "activate", "backbones", "deactivate", "hookimpl", "is_active"]

activate()
