"""Makes the plugin active in every Python of this environment, for plain `yolo` and for scripts of others."""

from __future__ import annotations

import inspect
import sysconfig
from pathlib import Path

from . import startup_hook

NAME = "yolo_starnet_enable.pth"


def enable(folder: Path | None = None) -> Path:
    """Activate the plugin on every import of Ultralytics in this environment, from the next start of Python on.

    Args:
        folder: The site-packages to write to. The default is that of the running Python.

    Returns:
        The only file that was written. Deleting it, or `disable()`, undoes everything.
    """
    # A copy of the source, not an import of it: a .pth file that imports an uninstalled package prints an error at
    # every start of Python.
    source = f"{inspect.getsource(startup_hook)}\ninstall()\n"
    file = _file(folder)
    file.write_text(f"import sys; exec({source!r}, {{'__name__': {startup_hook.__name__!r}}})\n", encoding="utf-8")
    return file


def disable(folder: Path | None = None) -> bool:
    """Undo `enable()` and return whether there was anything to undo."""
    file = _file(folder)
    existed = file.is_file()
    file.unlink(missing_ok=True)
    return existed


def _file(folder: Path | None) -> Path:
    return (folder or Path(sysconfig.get_path("purelib"))) / NAME
