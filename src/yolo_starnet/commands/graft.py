"""Writes a YAML of a model on another backbone, or with other modules in its rows, with the figures of each scale."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ultralytics
import yaml
from ultralytics.nn import tasks

from .. import files
from ..errors import ConfigError, YOLOStarNetError, brief, nearest
from ..measuring import figures
from ..model_yaml import graft as grafting
from ..model_yaml import names, swap
from ..plugins import Table


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


class Given(NamedTuple):
    """The arguments of the command.

    Attributes:
        model: A stock name or a file of the user.
        backbone: A backbone as in a config name, such as `starnet_s3`; none keeps the backbone of the model.
        swap: What takes the place of what, such as `Concat:StarFuse`; see `model_yaml.swap.parse`.
        where: The rows that `swap` changes; all unless given.
        out: The file to write. The default is the config name without a scale, in the current folder.
    """

    model: str
    backbone: str = ""
    swap: str = ""
    where: str = ""
    out: str = ""


def graft(table: Table, given: Given) -> Grafted:
    """Write a YAML like that of a model, on another backbone, with other modules, or both.

    Args:
        table: The registered backbones and layers.
        given: The arguments. Without `backbone` and `swap`, the backbone is `starnet`.

    Raises:
        ConfigError: The model, the backbone or a module does not exist, or the file exists already.
        BackboneError: The model has nothing that a backbone could replace.
    """
    if not (given.backbone or given.swap):
        given = given._replace(backbone="starnet")
    if given.where and not given.swap:
        raise ConfigError("where= says which rows swap= changes; give swap=, such as swap=Concat:StarFuse")
    # os.path asks where pathlib raises an error for a name that is too long.
    base = Path(given.model) if os.path.isfile(given.model) else names.stock_file(given.model)
    if base is None:
        similar = nearest(given.model, names.stock_names())
        raise ConfigError(f"no model '{given.model}': neither a file nor a stock YAML of that name exists{similar}")
    token = "-".join([*filter(None, [given.backbone]), *(s.new.rpartition(".")[2].lower() for s in _swaps(given))])
    file = Path(given.out or names.name_of(base.stem, token))
    with files.explained(file):
        files.check_new(file)
    text = _text(base, table, given)
    with files.explained(file):
        files.write(file, text)
    return Grafted(file, text, given.out or names.name_of(Path(given.model).stem, token))


def _text(base: Path, table: Table, given: Given) -> str:
    """The YAML text, with the parameters and GFLOPs of each scale; any error names the model."""
    try:
        return _grafted(base, table, given)
    except YOLOStarNetError:
        raise
    except Exception as error:  # the YAML may be the user's own, and Ultralytics raises any type for a wrong row
        raise ConfigError(f"{base} cannot be grafted: {brief(error)}") from error


def _grafted(base: Path, table: Table, given: Given) -> str:
    if not given.swap:
        return names.grafted_yaml(base, *names.parse_backbone(given.backbone, table), figures.by_scale)
    (text, model), origin = names.read_model(base), f"{base.name} of Ultralytics {ultralytics.__version__}"
    if given.backbone:
        text = names.grafted_yaml(base, *names.parse_backbone(given.backbone, table))
        origin, model = f"{origin} on {given.backbone}", yaml.safe_load(text)
    swapped = swap.swap(model, _swaps(given), given.where, table.layers, vars(tasks), table)
    counted: Mapping[str, Any] = figures.by_scale(swapped, names.unscaled(base.name))
    rows = f" in {given.where}" if given.where else ""
    origin = f"{origin}, {given.swap}{rows}, by yolo-starnet graft"
    return swap.write(text, swapped, grafting.head(text, origin, {k: str(v) for k, v in counted.items()}))


def _swaps(given: Given) -> list[swap.Swap]:
    return swap.parse(given.swap) if given.swap else []
