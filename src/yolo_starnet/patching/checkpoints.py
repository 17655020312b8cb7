"""Prepares the load of a checkpoint on a backbone, and switches its `pretrained` off afterwards."""

from __future__ import annotations

import importlib
import importlib.util
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from ..backbone import Backbone
from ..errors import PluginError
from ..model_yaml import expand

MARK = "yolo_starnet_requires"
"""The attribute of layer 0 that holds the package that registered its backbone, then the top-level modules needed."""


def prepare(weight: object, backbones: Mapping[str, Backbone], restricted: bool) -> None:
    """Make sure that the classes of a checkpoint are there and, for a restricted load, allowed.

    Only classes that packages of registered backbones define themselves are allowed, and only those that the
    checkpoint names.

    Args:
        weight: The argument of `torch_safe_load`. Nothing is done unless it is a local file.
        backbones: The registered backbones by name.
        restricted: Whether Ultralytics will load it with `weights_only=True`.

    Raises:
        PluginError: The package of its backbone is not installed.
    """
    pickled = _pickled(Path(str(weight).strip()))
    if not pickled:
        return
    if MARK.encode() in pickled:
        _check_installed(weight, pickled)
    if restricted and hasattr(torch.serialization, "add_safe_globals"):
        packages = {p for backbone in backbones.values() for p in backbone.all_packages}
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


def mark(layer: nn.Module, backbone: Backbone) -> None:
    """Write into a layer, and so into its checkpoint, the packages that loading it needs."""
    if backbone.distribution:
        setattr(layer, MARK, " ".join([backbone.distribution, *sorted(backbone.all_packages)]))


def _check_installed(weight: object, pickled: bytes) -> None:
    """Refuse a checkpoint whose mark names a module that is not installed. Nothing is imported to find out."""
    strings = [arg for _, arg, _ in pickletools.genops(pickled) if isinstance(arg, str)]
    requirements = next((value for name, value in pairwise(strings) if name == MARK), "")  # a pickle: name, then value
    distribution, _, packages = requirements.partition(" ")
    for package in packages.split():
        if importlib.util.find_spec(package) is None:
            raise PluginError(
                f"{weight} was trained on a backbone of the package '{distribution}', whose module '{package}' is not "
                f"installed here; install it (pip install {distribution}) and load the checkpoint again"
            )


def _names(pickled: bytes, packages: set[str]) -> Iterator[tuple[str, str]]:
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
