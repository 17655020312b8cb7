"""Prepares the load of a checkpoint on a backbone, and switches its `pretrained` off afterwards.

Ultralytics decides about every other file, and about a damaged one: what cannot be read here is left to its own error.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pickletools
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from ultralytics.utils import SETTINGS, checks

from ..backbone import Backbone
from ..errors import PluginError
from ..model_yaml import expand
from ..plugins import Table
from ..row_layer import RowLayer

MARK = "yolo_starnet_requires"
"""The attribute of a layer that names the package that registered it, in the form of `REQUIREMENT`."""
REQUIREMENT = re.compile(rf"{MARK}: (?P<package>\S+) (?P<modules>[^\W\d]\w*(?: [^\W\d]\w*)*)")
"""The package, then the top-level modules needed. It repeats the attribute, whose name a pickle holds only once."""

_lock = threading.RLock()


def check_installed(weight: object) -> None:
    """Refuse a checkpoint on a registered backbone or layer whose package is not installed.

    Ultralytics would install a package of the module's name. Nothing is imported to find out.

    Args:
        weight: The argument of `torch_safe_load`.

    Raises:
        PluginError: The checkpoint names a class of a module that its mark lists and that is not installed.
    """
    strings = _strings(weight)
    used = {_package(text.partition(" ")[0]) for opcode, text in strings if opcode == "GLOBAL"}
    for requirement in filter(None, (REQUIREMENT.fullmatch(text) for _, text in strings)):
        for module in used.intersection(requirement["modules"].split()):
            if module not in sys.modules and importlib.util.find_spec(module) is None:
                package = requirement["package"]
                raise PluginError(
                    f"{weight} needs the package '{package}', whose module '{module}' is not installed here; "
                    f"install it (pip install {package}) and load the checkpoint again"
                )


@contextlib.contextmanager
def allow_classes(weight: object, table: Table) -> Iterator[None]:
    """Allow, while a file is loaded with `weights_only=True`, the classes that a checkpoint on a backbone holds.

    Args:
        weight: The argument of `torch_safe_load`.
        table: The registered backbones and layers. A file that names no class of their rows gets nothing allowed.
    """
    with _lock:  # or the end of another thread's load would take back what this one needs
        classes = _classes(_unsafe_names(weight), table)
        # As pairs, which no one else adds: what the user or Ultralytics allowed stays allowed.
        with torch.serialization.safe_globals([(value, name) for name, value in classes.items()]):
            yield


def forget_pretrained(checkpoint: object, backbones: Mapping[str, Backbone]) -> None:
    """Switch `pretrained` off in the models of a loaded checkpoint.

    Training builds the model from `model.yaml` again and copies the checkpoint's weights into it.
    """
    for key in ("model", "ema"):
        config = getattr(checkpoint.get(key), "yaml", None) if isinstance(checkpoint, dict) else None
        row = expand.backbone_row(config, backbones) if isinstance(config, dict) else None
        if row and isinstance(row.args, dict) and "pretrained" in row.args:
            row.args["pretrained"] = False


def mark(layer: nn.Module, origin: Backbone | RowLayer) -> None:
    """Write into a layer, and so into its checkpoint, the packages that loading it needs."""
    if origin.distribution:
        setattr(
            layer, MARK, f"{MARK}: {' '.join([origin.distribution, *sorted(set(map(_package, origin.all_packages)))])}"
        )


def _classes(names: set[str], table: Table) -> dict[str, type]:
    """The classes that a checkpoint may hold, of all that it names: modules of registered packages, and listed classes.

    The registered packages are imported if it names anything in them, but no module that only the file names.
    """
    already_safe = (value for value in torch.serialization.get_safe_globals() if isinstance(value, type))
    if names.union(map(_full_name, already_safe)).isdisjoint(map(_full_name, table.modules.values())):
        return {}
    for package in table.packages:
        if any(_is_in(name, package) for name in names):
            importlib.import_module(package)
    named = {name: _imported(name) for name in names if any(_is_in(name, package) for package in table.packages)}
    return {
        name: value
        for name, value in named.items()
        if isinstance(value, type)
        and _full_name(value) == name  # defined there, not imported from elsewhere
        and (issubclass(value, nn.Module) or name in table.classes)
    }


def _imported(name: str) -> object:
    """What has this full name in a module that is imported already, None if there is none."""
    module, _, attribute = name.rpartition(".")
    # Not getattr, for which some modules import others.
    return getattr(sys.modules.get(module), "__dict__", {}).get(attribute)


def _full_name(value: type) -> str:
    """The name by which a pickle refers to a class."""
    return f"{value.__module__}.{value.__qualname__}"


def _package(name: str) -> str:
    """The top-level package of a full name."""
    return name.partition(".")[0]


def _is_in(name: str, package: str) -> bool:
    """Whether a full name lies in a package."""
    return name.startswith(f"{package}.")


def _file(weight: object) -> Path:
    """The file that Ultralytics will load; raises an error if it has to download one, which has no class of ours."""
    name = checks.check_yolov5u_filename(str(weight).strip().replace("'", ""), verbose=False)
    if not name.lower().endswith(".pt"):
        raise ValueError(f"{name} is no checkpoint")
    return next(file for file in (Path(name), Path(SETTINGS["weights_dir"], name)) if file.exists())


def _unsafe_names(weight: object) -> set[str]:
    """The full names of all that `weights_only=True` refuses in a checkpoint; nothing for any other file."""
    try:
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(_file(weight)))
    except Exception:  # whatever is wrong with the file, Ultralytics is about to say it
        return set()


def _strings(weight: object) -> list[tuple[str, str]]:
    """The opcode and text of each string in the pickle of a checkpoint that has a mark; nothing for any other file."""
    try:
        reader: Any = torch._C.PyTorchFileReader(str(_file(weight)))  # as torch.load: of two pickles, the same one
        pickled = reader.get_record("data.pkl")
        if MARK.encode() not in pickled:
            return []
        return [(opcode.name, text) for opcode, text, _ in pickletools.genops(pickled) if isinstance(text, str)]
    except Exception:  # whatever is wrong with the file, Ultralytics is about to say it
        return []
