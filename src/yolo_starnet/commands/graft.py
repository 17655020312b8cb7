"""Writes a YAML of a model on another backbone, with the figures of each scale."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError, nearest
from ..measuring import figures
from ..model_yaml import names


class Grafted(NamedTuple):
    """A YAML that was written.

    Attributes:
        file: Where.
        text: Its text.
        name: The name to train it by, which keeps the scale that the user gave.
    """

    file: Path
    text: str
    name: str


def graft(backbones: Collection[str], model: str, backbone: str = "starnet", out: str = "") -> Grafted:
    """Write a YAML like that of a model, on another backbone.

    Args:
        backbones: The registered backbone names.
        model: A stock name or a file of the user.
        backbone: A backbone as in a config name, such as `starnet_s3`.
        out: The file to write. The default is the config name without a scale, in the current folder.

    Raises:
        ConfigError: The model or the backbone does not exist, or the file exists already.
        BackboneError: The model has nothing that a backbone could replace.
    """
    base = Path(model) if Path(model).is_file() else names.stock_file(model)
    if base is None:
        similar = nearest(model, names.stock_names())
        raise ConfigError(f"no model '{model}': neither a file nor a stock YAML of that name exists{similar}")
    name, arguments = names.parse_backbone(backbone, backbones)
    file = Path(out or names.name_of(base.stem, backbone))
    if file.exists():
        raise ConfigError(f"{file} exists and is not overwritten; give another file name with out=")
    text = names.grafted_yaml(base, name, arguments, figures=figures.by_scale)
    file.write_text(text, encoding="utf-8")
    return Grafted(file, text, out or names.name_of(Path(model).stem, backbone))
