"""Makes the plugin active in every Python of this environment, for plain `yolo` and for scripts of others.

Python reads the import line of a .pth file up to 3.17, and a .start file from 3.15 on (PEP 829).
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import files
from ..errors import ConfigError
from . import startup_hook

NAME = "yolo_starnet_enable"


def enable(folder: Path | None = None, python: tuple[int, int] = sys.version_info[:2]) -> Path:
    """Activate the plugin on every import of Ultralytics in this environment, from the next start of Python on.

    Args:
        folder: The site-packages to write to. The default is that of the running Python.
        python: The version of the Python that reads it.

    Returns:
        The file that Python reads at startup. `disable()` undoes everything.

    Raises:
        ConfigError: The folder cannot be written. Nothing is left behind.
    """
    folder = folder or _site_packages()
    # A copy of the hook, not an import of this package: a startup file that names an uninstalled package prints an
    # error at every start of Python. It comes first, since the others name it.
    texts = {f"{NAME}.py": inspect.getsource(startup_hook), **startup_files(python)}
    new = [folder / name for name in texts if not (folder / name).exists()]
    with _explained(folder, "written"):
        try:
            for name, text in texts.items():
                files.write(folder / name, text)
        except OSError:
            for file in new:
                file.unlink(missing_ok=True)
            raise
    return folder / list(texts)[-1]


def disable(folder: Path | None = None) -> bool:
    """Undo `enable()` and return whether there was anything to undo.

    Raises:
        ConfigError: A file cannot be deleted.
    """
    folder = folder or _site_packages()
    with _explained(folder, "deleted"):
        return _delete(folder)


def startup_files(python: tuple[int, int]) -> dict[str, str]:
    """The startup files that a Python reads, name to text: one for each way that its version knows (PEP 829)."""
    pth = {f"{NAME}.pth": f"import {NAME}; {NAME}.install()\n"} if python < (3, 18) else {}
    start = {f"{NAME}.start": f"{NAME}:install\n"} if python >= (3, 15) else {}
    return {**pth, **start}


def _delete(folder: Path) -> bool:
    """Delete the startup files, then the module that they name and what Python compiled of it."""
    compiled = folder / "__pycache__"
    startup = [folder / f"{NAME}.pth", folder / f"{NAME}.start"]
    found = [f for f in (*startup, folder / f"{NAME}.py", *compiled.glob(f"{NAME}.*")) if f.is_file()]
    for file in found:
        file.unlink()
    with contextlib.suppress(OSError):  # it holds what Python compiled of other modules
        compiled.rmdir()
    return bool({*startup} & {*found})


def _site_packages() -> Path:
    return Path(sysconfig.get_path("purelib"))


@contextmanager
def _explained(folder: Path, what: str) -> Iterator[None]:
    """Say what to do about a folder that is read-only, full or no folder."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"the startup files in {folder} cannot be {what} ({files.reason(error)}); run this as the owner of that "
            "folder, or in a virtual environment of your own"
        ) from error
