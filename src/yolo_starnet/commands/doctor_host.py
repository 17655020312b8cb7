"""Checks of `doctor` on Ultralytics and on what changes it: its files, our patches, plugins, `enable`."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import inspect
import shlex
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .doctor_finding import Finding

if TYPE_CHECKING:
    from ..patching.patch import Change

REINSTALL = "pip install -U yolo-starnet ultralytics"
AGAIN = "pip install --force-reinstall --no-deps "
UNIT = "yolo_starnet"
"""The name of this package, and of its entry-point group."""


def files() -> Iterator[Finding]:
    """Whether the files of Ultralytics are those of the release: the tutorials tell their readers to edit them."""
    import ultralytics

    root = Path(ultralytics.__file__).parent
    distribution = importlib.metadata.distribution("ultralytics")
    recorded = {
        str(path): path.hash.value
        for path in distribution.files or ()
        if path.hash and path.parts[0] == root.name and path.suffix == ".py"
    }
    if Path(str(distribution.locate_file(root.name))).resolve() != root.resolve() or not recorded:
        yield _checkout(root)
        return
    here = {path.relative_to(root.parent).as_posix(): path for path in root.rglob("*.py")}
    changed = [name for name, path in here.items() if name in recorded and _digest(path) != recorded[name]]
    added = sorted(here.keys() - recorded.keys())
    missing = sorted(recorded.keys() - here.keys())
    yield _edited(root, sorted(changed), added, missing, distribution.version)


def _digest(file: Path) -> str:
    """The hash of a file as the records of pip write it."""
    return base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()


def _edited(root: Path, changed: list[str], added: list[str], missing: list[str], version: str) -> Finding:
    found = {"edited": changed, "added": added, "missing": missing}
    problem = "; ".join(f"{what}: {_some(names)}" for what, names in found.items() if names)
    delete = f"rm {shlex.join(str(root.parent / name) for name in added[:5])} && " if added else ""
    mend = f"{delete}{AGAIN}ultralytics=={version}"
    return Finding("against the release", str(root), problem, mend if problem else "")


def _checkout(root: Path) -> Finding:
    """What git says of Ultralytics in a checkout; pip has no record of its files there."""
    if not _git(root, "ls-files", "--", f"{root.name}/__init__.py"):
        return Finding("against the release", f"{root}: neither pip nor git has a record of these files")
    edited = [line[3:] for line in _git(root, "status", "--porcelain", "--", root.name) if line.endswith(".py")]
    problem = f"edited: {_some(edited)}" if edited else ""
    mend = f"git -C {shlex.quote(str(root.parent))} stash -u -- {root.name}" if edited else ""
    return Finding("against git", str(root), problem, mend)


def _git(root: Path, *arguments: str) -> list[str]:
    """The lines that git prints in the folder of a package; none where there is no git or no checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.splitlines()


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def activation() -> Iterator[Finding]:
    """Whether the plugin is active, and every reason why not."""
    failure = vars(sys.modules[UNIT])["_failure"]
    if failure is None:
        yield Finding("yolo_starnet", "active" if sys.modules[UNIT].is_active() else "switched off by deactivate()")
        return
    for error in _refusals(failure):
        module = getattr(error, "replaced_by", "")
        yield Finding("yolo_starnet", "not active", f"{type(error).__name__}: {error}", _removal(module) or REINSTALL)


def _refusals(failure: Exception) -> Sequence[Exception]:
    """Every patch that cannot be made, or the one error that came before any patch."""
    from ..errors import UnsupportedUltralyticsError

    if not isinstance(failure, UnsupportedUltralyticsError):
        return [failure]
    from ..patching import patch

    return patch.problems() or [failure]


def _removal(module: str) -> str:
    """The command that takes a module of someone else out of the environment; '' for no module."""
    if not module:
        return ""
    top = module.partition(".")[0]
    for entry in importlib.metadata.entry_points(group=UNIT):
        if entry.module.partition(".")[0] == top:
            return f"export YOLO_STARNET_DISABLE={entry.name}"
    names = importlib.metadata.packages_distributions().get(top)
    file = getattr(sys.modules.get(top), "__file__", None) or top
    return f"pip uninstall {names[0]}" if names else f"mv {file} {file}.off"


def patches() -> Iterator[Finding]:
    """Whether each changed attribute of Ultralytics is still ours."""
    from ..patching import patch

    injected = [c.name for c in patch.changes() if isinstance(c.value, type)]
    if injected:
        yield Finding("classes", f"{len(injected)} in ultralytics.nn.tasks, for the parser")
    for change in patch.changes():
        if not isinstance(change.value, type):
            yield _owner_of(change, vars(change.owner).get(change.name))


def _owner_of(change: Change, now: object) -> Finding:
    """Whose function stands in the place of ours now."""
    name = f"{change.owner.__name__.removeprefix('ultralytics.')}.{change.name}"
    if now is change.value:
        return Finding(name, "ours")
    module = getattr(now, "__globals__", {}).get("__name__", type(now).__module__)  # wraps() copies `__module__`
    if any(link is change.value for link in _chain(now)):
        return Finding(name, f"ours, wrapped by {module}")
    return Finding(name, f"replaced by {module}", "this was done after yolo_starnet was imported", _removal(module))


def _chain(function: object) -> Iterator[object]:
    """A function, the one that it wraps, and so on."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


def plugins() -> Iterator[Finding]:
    """The plugins that were found, and why some are left out."""
    from .. import plugins as room

    table, off = room.table(), room.disabled()
    entries = sorted(set(importlib.metadata.entry_points(group=UNIT)), key=lambda e: (e.value, e.name))
    for entry in entries:
        where = f"{entry.value} ({entry.dist.name} {entry.dist.version})" if entry.dist else entry.value
        if entry.name in off:
            yield Finding(entry.name, f"left out by YOLO_STARNET_DISABLE: {where}")
        elif error := table.left_out.get(entry):
            yield Finding(entry.name, f"left out: {where}", f"{type(error).__name__}: {error}", _repair(entry))
        else:
            yield Finding(entry.name, where)
    if not any(entry.value.startswith(f"{UNIT}.") for entry in entries):
        root = Path(str(sys.modules[UNIT].__file__)).parents[2]
        problem = "its backbones are not found, for it is imported without being installed"
        clone = (root / "pyproject.toml").is_file()
        yield Finding("yolo-starnet", str(root), problem, f"pip install {root}" if clone else AGAIN + "yolo-starnet")
    yield Finding("backbones", ", ".join(table))
    yield Finding("layers", ", ".join(table.layers))


def _repair(entry: importlib.metadata.EntryPoint) -> str:
    """The command for a plugin that is left out."""
    if entry.value.startswith(f"{UNIT}."):  # files of this package or of Ultralytics are not those of the release
        return f"{AGAIN}yolo-starnet ultralytics=={importlib.metadata.version('ultralytics')}"
    name = entry.dist.name if entry.dist else entry.name
    return f"pip install -U {name} yolo-starnet; or export YOLO_STARNET_DISABLE={entry.name}"


def enabled() -> Iterator[Finding]:
    """Whether `yolo-starnet enable` is in force, and whether its files are those of this release."""
    from . import enable, startup_hook

    expected = {f"{enable.NAME}.py": inspect.getsource(startup_hook), **enable.startup_files(sys.version_info[:2])}
    folders = {sysconfig.get_path("purelib"), *site.getsitepackages(), site.getusersitepackages()}
    found = [folder for folder in sorted(map(Path, folders)) if any((folder / name).exists() for name in expected)]
    for folder in found:
        differing = [name for name, text in expected.items() if _text(folder / name) != text]
        problem = f"missing or of another release: {', '.join(differing)}" if differing else ""
        yield Finding("enabled", str(folder), problem, "yolo-starnet enable" if differing else "")
    if not found:
        yield Finding("not enabled", "only programs that import yolo_starnet know StarNet ('yolo-starnet enable')")


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""
