"""StarNet backbones for stock Ultralytics YOLO: importing this package is all that it takes.

>>> import yolo_starnet
>>> from ultralytics import YOLO
>>> model = YOLO("yolo11n-starnet.yaml")
"""

from .backbones import Backbone, Layer
from .hookspecs import hookimpl
from .patch import activate, backbones, deactivate, is_active

__version__ = "0.1.0"
__all__ = ["Backbone", "Layer", "__version__", "activate", "backbones", "deactivate", "hookimpl", "is_active"]

activate()
