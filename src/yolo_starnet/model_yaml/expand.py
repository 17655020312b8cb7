"""Model dict to model dict: expands a backbone row into five layer rows. Changes nothing of Ultralytics."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from ..backbone import Backbone, Layer
from ..errors import BackboneError, nearest
from ..feature_maps import STRIDES

LEVELS = len(STRIDES)
"""Layers of an expanded row, P1/2 to P5/32. They take indices 0 to 4, and the next row is 5."""


class BackboneRow(NamedTuple):
    """The first row of a model, where it names a registered backbone, and the row's arguments."""

    backbone: Backbone
    args: Any


def backbone_row(model: Mapping[str, Any], backbones: Mapping[str, Backbone]) -> BackboneRow | None:
    """The backbone row of a model, None where its first row is another or malformed.

    Args:
        model: A model dict as `ultralytics.nn.tasks.yaml_model_load` returns it.
        backbones: The registered backbones by name.
    """
    first: Any = next(iter(_rows(model, "backbone")), None)
    name = module_name(first)
    return (
        BackboneRow(backbones[name], first[3]) if name is not None and name in backbones and len(first) == 4 else None
    )


def expand(
    model: Mapping[str, Any],
    in_channels: int,
    backbones: Mapping[str, Backbone],
    modules: Mapping[str, object],
    parts: Collection[str] = (),
) -> Mapping[str, Any]:
    """Replace the backbone row of a model by ordinary layer rows.

    Malformed rows, sections and scales are kept for the stock parser, whose own error then appears.

    Args:
        model: A model dict as `ultralytics.nn.tasks.yaml_model_load` returns it. It is left as it is.
        in_channels: Channels of the image.
        backbones: The registered backbones by name.
        modules: The modules that every other row may name, by name, beside `nn.…` and `torchvision.ops.…`.
        parts: Those of `modules` that only an expanded row may name: the layers of backbones.

    Returns:
        `model` itself where its first row is no backbone or its scale is malformed, else a copy whose first `LEVELS`
        rows are its levels.

    Raises:
        BackboneError: A row names an unknown module, or a backbone row cannot be expanded.
    """
    constants = scale_constants(model)
    if constants is None:
        return model
    _check_names(model, backbones, modules, parts)
    row = backbone_row(model, backbones)
    if row is None:
        return model
    layers = _build(model, row, in_channels, constants[1])
    _check_references(model, layers)
    levels = [[x.source, 1, x.module.__name__, list(x.args)] for x in layers]
    return {**model, "backbone": [*levels, *model["backbone"][1:]]}


def load_weights(model: Mapping[str, Any], in_channels: int, row: BackboneRow, layers: Sequence[nn.Module]) -> None:
    """Load the weights that a backbone row asks for with `pretrained` into the `layers` built of `model`.

    Raises:
        BackboneError: The weights cannot be loaded or do not fit.
    """
    pretrained = row.args.get("pretrained") if isinstance(row.args, Mapping) else None
    if not pretrained:
        return
    levels = [*layers][:LEVELS]
    # Older releases find the strides with a black image in training mode, which would enter the statistics of every
    # BatchNorm. Training switches the mode back.
    for level in levels:
        level.eval()
    if row.backbone.load_weights:
        try:
            row.backbone.load_weights(levels, in_channels, pretrained)
        except ValueError as error:
            raise BackboneError(f"{where(model, 'backbone', 0)}: {error}") from error


def named_rows(model: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Section, index and module name of each row that is not malformed."""
    for section in ("backbone", "head"):
        for index, row in enumerate(_rows(model, section)):
            name = module_name(row)
            if name is not None:
                yield section, index, name


def _rows(model: Mapping[str, Any], section: str) -> Sequence[Any]:
    """The rows of a section, none where it is not a list."""
    rows = model.get(section)
    return rows if isinstance(rows, (list, tuple)) else ()


def module_name(row: Any) -> str | None:
    """The module that a row names, None where the row is malformed."""
    return row[2] if isinstance(row, (list, tuple)) and len(row) >= 3 and isinstance(row[2], str) else None


def _check_names(
    model: Mapping[str, Any],
    backbones: Mapping[str, Backbone],
    modules: Mapping[str, object],
    parts: Collection[str],
) -> None:
    """Refuse a row that names an unknown module or a part of a backbone, and a backbone that is not the first row."""
    for section, index, name in named_rows(model):
        if name in backbones:
            _check_place(model, section, index)
        elif name in parts:
            raise BackboneError(
                f"{where(model, section, index)}: '{name}' is a part of a backbone, which no row can name alone; name "
                f"a backbone in the first row, such as {', '.join(list(backbones)[:3])}"
            )
        elif name not in modules and not name.startswith(("nn.", "torchvision.ops.")):
            classes = [k for k, v in modules.items() if isinstance(v, type) and issubclass(v, nn.Module)]
            similar = nearest(name, [*backbones, *classes])
            raise BackboneError(f"{where(model, section, index)}: unknown module '{name}'{similar}")


def _check_place(model: Mapping[str, Any], section: str, index: int) -> None:
    """Refuse a backbone row that is not `[-1, 1, NAME, ARGS]`, the first under `backbone:`."""
    row = model[section][index]
    problem = None
    if len(row) != 4:
        problem = f"found {len(row)} items, expected [from, repeats, module, args]"
    elif (section, index) != ("backbone", 0):
        problem = f"'{row[2]}' must be the first row of 'backbone:'; move it there or remove it"
    elif row[0] != -1:
        problem = f"'from' must be -1, the image; found {row[0]!r}"
    elif row[1] != 1:
        problem = f"repeats must be 1, a backbone cannot be stacked; found {row[1]!r}"
    if problem:
        raise BackboneError(f"{where(model, section, index)}: {problem}")


def _check_references(model: Mapping[str, Any], layers: Sequence[Layer]) -> None:
    """Refuse a row that takes a level of the backbone that has no feature map."""
    places = [(s, i, row) for s in ("backbone", "head") for i, row in enumerate(_rows(model, s))][1:]
    for position, (section, index, row) in enumerate(places, LEVELS):
        if module_name(row) is None:
            continue
        for source in row[0] if isinstance(row[0], (list, tuple)) else [row[0]]:
            level = position + source if isinstance(source, int) and source < 0 else source
            if isinstance(level, int) and level in range(LEVELS) and not layers[level].channels:
                maps = [f"{i} (P{i + 1}/{stride})" for i, stride in enumerate(STRIDES) if layers[i].channels]
                raise BackboneError(
                    f"{where(model, section, index)}: there is no feature map of '{model['backbone'][0][2]}' at index "
                    f"{level}; take {', '.join(maps)}"
                )


def _build(model: Mapping[str, Any], row: BackboneRow, in_channels: int, width: float) -> list[Layer]:
    """The layers of the backbone row, `width` being that of the model scale."""
    try:
        layers = list(row.backbone.build(in_channels, **_options(row, width)))
        if len(layers) != LEVELS:
            raise ValueError(f"'{row.backbone.name}' built {len(layers)} layers, expected {LEVELS} (P1/2 to P5/32)")
    except ValueError as error:
        raise BackboneError(f"{where(model, 'backbone', 0)}: {error}") from error
    return layers


def _options(row: BackboneRow, width: float) -> dict[str, Any]:
    """The options that the backbone row gives, and the `width` of the model scale where it gives none."""
    name, known = row.backbone.name, row.backbone.options
    if isinstance(row.args, Mapping):
        options = dict(row.args)
    elif isinstance(row.args, (list, tuple)) and len(row.args) in {0, 2}:
        options = dict(zip(("depth", "width"), row.args))
    else:
        count = f"{len(row.args)} arguments" if isinstance(row.args, (list, tuple)) else repr(row.args)
        raise ValueError(f"args must be [], [depth, width] or {{option: value}}; found {count}")
    for option in options:
        if option not in known and not row.backbone.takes(option):
            raise ValueError(f"unknown option {option!r}; '{name}' takes {', '.join(known) or 'none'}")
    for option in row.backbone.required:
        if option not in {"width", *options}:
            raise ValueError(f"option {option!r} is missing; '{name}' takes {', '.join(known)}")
    return {"width": width, **options} if "width" in known else options


def scale_constants(model: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Depth, width and `max_channels` of a model dict at its scale, as Ultralytics' parser reads them.

    None where they are malformed. The parser reads them before any row and raises its own error.
    """
    if not isinstance(model, Mapping):
        return None
    scales = model.get("scales")
    if not scales:
        return model.get("depth_multiple", 1.0), model.get("width_multiple", 1.0), math.inf
    try:
        depth, width, max_channels = scales[model.get("scale") or next(iter(scales))]
    except Exception:  # a YAML can hold anything here
        return None
    return depth, width, max_channels


def where(model: Mapping[str, Any], section: str, index: int) -> str:
    """The row and the file that an error is about."""
    try:
        row = str(model[section][index]).replace("'", "")
    except ValueError:  # Python prints no number of more than 4300 digits
        row = "[…]"
    return f"{section} row {index} {row} of {model.get('yaml_file') or 'the model'}"
