"""A package for a backbone or layer of the user, written from templates, ready to install and to test."""

from __future__ import annotations

import builtins
import importlib.metadata
import importlib.util
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import NamedTuple

from .. import __version__, plugins
from ..errors import ConfigError, nearest
from ..model_yaml import names

KINDS = ("backbone", "layer")
TEMPLATES = Path(__file__).with_name("templates")
NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]{0,30}[A-Za-z0-9])?")
"""A project name as packaging allows it, of at most 32 characters."""
USED = {"Backbone", "Callable", "Conv", "RowLayer", "conftest", "hookimpl", "pairwise", "reload"}
"""Names that the generated files use themselves."""


class Names(NamedTuple):
    """What a package is called.

    Attributes:
        distribution: The project, as pip knows it: `my-attention`.
        module: The Python module, and the row of a backbone: `my_attention`.
        class_name: The class, and the row of a layer: `MyAttention`.
    """

    distribution: str
    module: str
    class_name: str

    @classmethod
    def of(cls, name: str) -> Names:
        """The names that follow from the one that the user chose."""
        words = re.split("[-_]+", name)
        return cls(
            "-".join(words).lower(), "_".join(words).lower(), "".join(word[0].upper() + word[1:] for word in words)
        )

    def row(self, kind: str) -> str:
        """The name in the row of a YAML."""
        return self.module if kind == "backbone" else self.class_name


def new(name: str, kind: str, out: str = "") -> Path:
    """Write a package with a backbone or a layer to start from.

    Args:
        name: A name such as `my-attention`.
        kind: `backbone` or `layer`.
        out: The folder to write; the one called `name` unless given.

    Returns:
        The folder. It holds pyproject.toml, README.md, src/MODULE.py and tests.

    Raises:
        ConfigError: A name is not valid or taken, or the folder cannot be written. Nothing is left behind.
    """
    if kind not in KINDS:
        raise ConfigError(f"kind= must be {' or '.join(KINDS)}, found '{kind}'{nearest(kind, KINDS)}")
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' cannot name a package; expected at most 32 letters, digits, '-' and '_', beginning with a "
            "letter and ending with a letter or digit, such as my-attention"
        )
    chosen = Names.of(name)
    for problem in _problems(chosen, kind):
        raise ConfigError(f"'{name}' cannot name a {kind}: {problem}; choose another name")
    folder = Path(out or name)
    if os.path.lexists(folder):
        raise ConfigError(f"{folder} exists and is left as it is; give another folder with out=")
    if not os.path.isdir(folder.parent):
        raise ConfigError(f"{folder} cannot be written, because {folder.parent} is no folder; create that first")
    _write(folder, kind, chosen)
    return folder


def _problems(chosen: Names, kind: str) -> Iterator[str]:
    """Why names are taken or would break something."""
    table = plugins.table()
    for name in (chosen.module, chosen.class_name):
        if keyword.iskeyword(name) or hasattr(builtins, name):
            yield f"'{name}' is a name of Python"
        if name in USED:
            yield f"the generated files use '{name}' themselves"
        if name in {*table, *table.modules}:
            yield f"'{name}' is a registered backbone or layer"
        if name in table.reserved:  # this holds registered classes as well, once the plugin is active
            yield f"'{name}' is a name of Ultralytics"
    if chosen.module in sys.stdlib_module_names or importlib.util.find_spec(chosen.module):
        yield f"a module '{chosen.module}' exists already"
    if any(importlib.metadata.distributions(name=chosen.distribution)):
        yield f"a package '{chosen.distribution}' is installed, and pip would replace it"
    words = {word for stock in names.stock_names() for word in stock.removesuffix(".yaml").split("-")}
    if kind == "backbone" and (chosen.module in words or chosen.module.startswith("timm_")):
        yield f"'{chosen.module}' has a meaning of its own in the names of models"


def _write(folder: Path, kind: str, chosen: Names) -> None:
    # Written beside its place and renamed, so that a package is never half there.
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _fill(part, kind, {**chosen._asdict(), "folder": folder.name, "row": chosen.row(kind)})
            part.chmod(0o755)  # the folders of mkdtemp are private
            os.rename(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} cannot be written ({error}); give another folder with out=") from error


def _fill(folder: Path, kind: str, values: dict[str, str]) -> None:
    """Write the files of a kind. `NAME` in the name of a template stands for the module."""
    for root in (TEMPLATES / "both", TEMPLATES / kind):
        for template in root.rglob("*.tmpl"):
            relative = template.relative_to(root).with_suffix("").as_posix().replace("NAME", values["module"])
            file = folder / relative
            file.parent.mkdir(parents=True, exist_ok=True)
            text = Template(template.read_text(encoding="utf-8")).substitute(values, kind=kind, version=__version__)
            file.write_text(text, encoding="utf-8")
