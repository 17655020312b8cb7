"""StarNet backbones for stock Ultralytics YOLO. Importing this package activates them.

>>> import yolo_starnet
>>> from ultralytics import YOLO
>>> model = YOLO("yolo11n-starnet.yaml")
"""

import contextlib
import sys
from pathlib import Path
from typing import Any

from .version import __version__


def _is_doctor() -> bool:
    """Whether this process is `yolo-starnet doctor`, which says why the plugin cannot be active."""
    ours = Path(sys.argv[0]).name.startswith("yolo-starnet") or "yolo_starnet" in sys.orig_argv
    return ours and sys.argv[1:2] == ["doctor"]


_failure: Exception | None = None
# What Ultralytics logs while it is imported must not stand before the JSON of the doctor.
with contextlib.redirect_stdout(sys.stderr) if _is_doctor() else contextlib.nullcontext():
    try:
        from .backbone import Backbone, Layer
        from .hookspecs import hookimpl
        from .patching.patch import activate, deactivate, is_active
        from .plugins import backbones, layers
        from .row_layer import RowLayer

        activate()
    except Exception as error:
        if not _is_doctor():
            raise
        _failure = error

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
