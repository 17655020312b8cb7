"""Imports yolo_starnet as soon as `ultralytics.nn`, and with it `ultralytics.nn.tasks`, has been imported.

`enable` copies this source into a .pth file, which every Python of the environment runs at startup. So it imports
nothing at startup, not even `typing`, and it works without a message if Ultralytics or yolo_starnet was uninstalled.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class YOLOStarNetHook:
    """A finder of `sys.meta_path` that finds nothing but adds a step to the import of `ultralytics.nn`."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Return the ordinary spec of `ultralytics.nn`, with a loader that activates the plugin at the end."""
        if name != "ultralytics.nn":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is None or spec.loader is None or find_spec("yolo_starnet") is None:
            return spec
        loader, stock_exec_module = spec.loader, spec.loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            stock_exec_module(module)
            del loader.exec_module  # type: ignore[misc]  # deletes the instance attribute set below, not the method
            activate()

        loader.exec_module = exec_module  # type: ignore[method-assign]  # for this loader alone
        return spec


def activate() -> None:
    """Import yolo_starnet, or warn if it does not fit the installed Ultralytics."""
    try:
        import yolo_starnet  # noqa: F401  # importing it activates it
    except ImportError as error:
        import warnings

        message = f"yolo-starnet is enabled in this environment, but it is not active: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def install() -> None:
    """Put the hook first in `sys.meta_path`, once: virtual environments run .pth files twice."""
    if not any(type(finder).__name__ == YOLOStarNetHook.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, YOLOStarNetHook())
