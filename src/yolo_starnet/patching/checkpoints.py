"""What a checkpoint on a backbone needs before Ultralytics loads it, and what it must forget afterwards."""

from __future__ import annotations

import importlib
import importlib.util
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from ..backbone import Backbone
from ..errors import PluginError

MARK = "yolo_starnet_requires"
"""The attribute of layer 0 that names the installed package that its backbone came from, and its modules."""


def prepare(weight: object, backbones: Mapping[str, Backbone], restricted: bool) -> None:
    """Make sure that the classes of a checkpoint are there and, for a restricted load, allowed.

    Only classes that packages of registered backbones define themselves are allowed, and only those that it names.

    Args:
        weight: What Ultralytics was asked to load. Nothing is done unless it is a local file.
        backbones: The registered backbones.
        restricted: Whether it will be loaded with `weights_only=True`.

    Raises:
        PluginError: It needs the package of a backbone that is not installed.
    """
    pickled = _pickled(Path(str(weight).strip()))
    if MARK.encode() in pickled:
        _check_installed(weight, pickled)
    if restricted and hasattr(torch.serialization, "add_safe_globals"):
        packages = {p for backbone in backbones.values() for p in backbone.all_packages}
        torch.serialization.add_safe_globals([c for c in map(_find, _names(pickled, packages)) if c is not None])


def forget_pretrained(checkpoint: object, backbones: Mapping[str, Backbone]) -> None:
    """Let the models of a loaded checkpoint no longer ask for weights: training builds them again and copies these."""
    for key in ("model", "ema"):
        model = checkpoint.get(key) if isinstance(checkpoint, dict) else None
        rows = (getattr(model, "yaml", None) or {}).get("backbone")
        if rows and rows[0][2] in backbones and isinstance(rows[0][3], dict) and "pretrained" in rows[0][3]:
            rows[0][3]["pretrained"] = False


def mark(layer: nn.Module, backbone: Backbone) -> None:
    """Write into a layer, and so into a checkpoint, which packages it cannot be loaded without."""
    if backbone.distribution:
        setattr(layer, MARK, " ".join([backbone.distribution, *sorted(backbone.all_packages)]))


def _check_installed(weight: object, pickled: bytes) -> None:
    strings = (arg for _, arg, _ in pickletools.genops(pickled) if isinstance(arg, str))
    distribution, *packages = next((next(strings) for s in strings if s == MARK), "").split()
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise PluginError(
                f"{weight} was trained on a backbone of the package '{distribution}', whose module '{package}' is not "
                f"installed here; install it (pip install {distribution}) and load the checkpoint again"
            )


def _names(pickled: bytes, packages: set[str]) -> Iterator[tuple[str, str]]:
    return ((m, name) for m, name in set(_globals(pickled)) if m.partition(".")[0] in packages)


def _find(name: tuple[str, str]) -> type | None:
    """The class of this name if its package defines it; not a function, nor a class that it merely imported."""
    module, attribute = name
    found = getattr(importlib.import_module(module), attribute, None)
    return found if isinstance(found, type) and found.__module__.partition(".")[0] == module.partition(".")[0] else None


def _globals(pickled: bytes) -> Iterator[tuple[str, str]]:
    """Module and name of all that a pickle refers to."""
    for op, arg, _ in pickletools.genops(pickled):
        if op.name == "GLOBAL":  # torch.save pickles by protocol 2, which has no other way
            module, _, name = str(arg).partition(" ")
            yield module, name


def _pickled(file: Path) -> bytes:
    """The pickle in a file that torch.save wrote; nothing for any other file, which Ultralytics has words for."""
    if not file.is_file() or not zipfile.is_zipfile(file):
        return b""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        return archive.read(names[0]) if names else b""
