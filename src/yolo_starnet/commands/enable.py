"""Makes the plugin active in every Python of this environment, for plain `yolo` and other people's scripts."""

from __future__ import annotations

import sysconfig
from pathlib import Path

NAME = "yolo_starnet_enable.pth"

# What a Python of this environment runs when it starts. It must be quick, import nothing, and never complain: not where
# Ultralytics or this package is gone, nor where they do not fit each other.
_HOOK = '''
class _YOLOStarNetHook:
    """Imports yolo_starnet as soon as ultralytics.nn, and with it ultralytics.nn.tasks, has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "ultralytics.nn":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec
        spec = find_spec(name)
        if spec is None or find_spec("yolo_starnet") is None:
            return spec
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            del spec.loader.exec_module
            try:
                import yolo_starnet
            except ImportError as error:
                import warnings
                warnings.warn(f"yolo-starnet is enabled in this environment but left out: {error}", RuntimeWarning)
        spec.loader.exec_module = exec_module
        return spec

if not any(type(finder).__name__ == "_YOLOStarNetHook" for finder in sys.meta_path):  # venvs run .pth files twice
    sys.meta_path.insert(0, _YOLOStarNetHook())
'''


def enable(folder: Path | None = None) -> Path:
    """Make `import ultralytics` bring the plugin along, in every Python of this environment from its next start on.

    Args:
        folder: The site-packages to write to; that of the running Python unless given.

    Returns:
        The one file that was written. Deleting it, or `disable()`, takes all of it back.
    """
    file = _file(folder)
    file.write_text(f"import sys; exec({_HOOK!r})\n", encoding="utf-8")
    return file


def disable(folder: Path | None = None) -> bool:
    """Take `enable()` back and tell whether there was anything to take back."""
    file = _file(folder)
    found = file.is_file()
    file.unlink(missing_ok=True)
    return found


def _file(folder: Path | None) -> Path:
    return (folder or Path(sysconfig.get_path("purelib"))) / NAME
