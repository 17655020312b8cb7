"""Imports yolo_starnet as soon as Ultralytics has been imported.

`enable` copies this file into site-packages, and every Python of the environment runs `install` at startup. So it
imports nothing at startup, not even `typing`, and it works without a message if Ultralytics or yolo_starnet was
uninstalled.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class YOLOStarNetHook:
    """A finder of `sys.meta_path` that lets the others find Ultralytics, and adds a step to its import."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The ordinary spec of `ultralytics`, with a loader that activates the plugin at the end.

        Every import of a submodule begins with the whole import of `ultralytics`. At its end, no module of Ultralytics
        is half imported.
        """
        if name != "ultralytics":
            return None
        # It stays in `sys.meta_path` until then: who looks for a spec does not always import the module.
        finders = [f for f in sys.meta_path if f is not self and hasattr(f, "find_spec")]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in finders)), None)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # it has every method of the loader
        return spec


class _Loader:
    """The loader of a module, which activates the plugin after the module's code has run."""

    def __init__(self, stock: "Loader") -> None:
        self.stock = stock

    def __getattr__(self, name: str) -> object:
        return getattr(self.stock, name)

    def exec_module(self, module: "ModuleType") -> None:
        module.__loader__ = self.stock
        if module.__spec__:
            module.__spec__.loader = self.stock
        self.stock.exec_module(module)
        sys.meta_path[:] = [f for f in sys.meta_path if not _is_hook(f)]
        activate()


def activate() -> None:
    """Import yolo_starnet, or warn if it cannot be active; the import of Ultralytics goes on either way."""
    import warnings

    before = set(sys.modules)
    try:
        import yolo_starnet  # noqa: F401  # importing it activates it
    except Exception as error:  # Ultralytics works without whatever is missing or broken here
        if not (isinstance(error, ModuleNotFoundError) and error.name == "yolo_starnet"):  # it was uninstalled
            message = f"yolo-starnet is enabled in this environment, but it is not active: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    # `python -m ultralytics.…` imports the parent packages first. It then warns if that has imported the module itself.
    imported = "|".join(name for name in sys.modules if name.startswith("ultralytics.") and name not in before)
    warnings.filterwarnings("ignore", f"'({imported})' found in sys.modules", RuntimeWarning, "runpy")


def install() -> None:
    """Put the hook first in `sys.meta_path`, once: virtual environments run startup files twice."""
    if not any(_is_hook(finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, YOLOStarNetHook())
    sys.modules.pop("yolo_starnet_enable", None)  # no process has a module that it did not import


def _is_hook(finder: object) -> bool:
    return type(finder).__name__ == YOLOStarNetHook.__name__
