"""Prepares the load of a checkpoint on a backbone, and switches its `pretrained` off afterwards."""

from __future__ import annotations

import importlib
import importlib.util
import pickletools
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from ..backbone import Backbone
from ..errors import PluginError
from ..model_yaml import expand
from ..row_layer import RowLayer

MARK = "yolo_starnet_requires"
"""The attribute of a layer that names the package that registered it, in the form of `REQUIREMENT`."""
REQUIREMENT = re.compile(rf"{MARK}: (?P<package>\S+) (?P<modules>\S+(?: \S+)*)")
"""The package, then the top-level modules needed. It repeats the attribute, whose name a pickle holds only once."""


def prepare(weight: object, packages: Collection[str], restricted: bool) -> None:
    """Make sure that the classes of a checkpoint are there and, for a restricted load, allowed.

    Only classes that these packages define themselves are allowed, and only those that the checkpoint names.

    Args:
        weight: The argument of `torch_safe_load`. Nothing is done unless it is a local file.
        packages: The top-level packages of registered backbones and layers.
        restricted: Whether Ultralytics will load it with `weights_only=True`.

    Raises:
        PluginError: A package that it needs is not installed.
    """
    pickled = _pickled(Path(str(weight).strip()))
    if not pickled:
        return
    if MARK.encode() in pickled:
        _check_installed(weight, pickled)
    if restricted and hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals([c for c in map(_find, _names(pickled, packages)) if c is not None])


def forget_pretrained(checkpoint: object, backbones: Mapping[str, Backbone]) -> None:
    """Switch `pretrained` off in the models of a loaded checkpoint.

    Training builds the model from `model.yaml` again and copies the checkpoint's weights into it.
    """
    for key in ("model", "ema"):
        model = checkpoint.get(key) if isinstance(checkpoint, dict) else None
        row = expand.backbone_row(getattr(model, "yaml", None) or {}, backbones)
        if row and isinstance(row.args, dict) and "pretrained" in row.args:
            row.args["pretrained"] = False


def mark(layer: nn.Module, origin: Backbone | RowLayer) -> None:
    """Write into a layer, and so into its checkpoint, the packages that loading it needs."""
    if origin.distribution:
        setattr(layer, MARK, f"{MARK}: {' '.join([origin.distribution, *sorted(origin.all_packages)])}")


def _check_installed(weight: object, pickled: bytes) -> None:
    """Refuse a checkpoint that needs a module that is not installed. Nothing is imported to find out."""
    strings = (arg for _, arg, _ in pickletools.genops(pickled) if isinstance(arg, str))
    for requirement in filter(None, map(REQUIREMENT.fullmatch, strings)):
        for module in requirement["modules"].split():
            if importlib.util.find_spec(module) is None:
                package = requirement["package"]
                raise PluginError(
                    f"{weight} needs the package '{package}', whose module '{module}' is not installed here; "
                    f"install it (pip install {package}) and load the checkpoint again"
                )


def _names(pickled: bytes, packages: Collection[str]) -> Iterator[tuple[str, str]]:
    """Module and name of all that a pickle refers to in these top-level packages."""
    return ((module, name) for module, name in set(_globals(pickled)) if _package(module) in packages)


def _package(module: str) -> str:
    """The top-level package of a module."""
    return module.partition(".")[0]


def _find(name: tuple[str, str]) -> type | None:
    """The class of this name if its package defines it, None for a function or a class that the package imported."""
    module, attribute = name
    value = getattr(importlib.import_module(module), attribute, None)
    return value if isinstance(value, type) and _package(value.__module__) == _package(module) else None


def _globals(pickled: bytes) -> Iterator[tuple[str, str]]:
    """Module and name of all that a pickle refers to."""
    for op, arg, _ in pickletools.genops(pickled):
        if op.name == "GLOBAL":  # torch.save pickles by protocol 2, which has no other way
            module, _, name = str(arg).partition(" ")
            yield module, name


def _pickled(file: Path) -> bytes:
    """The pickle in a file of torch.save, nothing for any other file: Ultralytics' own error then appears."""
    if not file.is_file() or not zipfile.is_zipfile(file):
        return b""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        return archive.read(names[0]) if names else b""
