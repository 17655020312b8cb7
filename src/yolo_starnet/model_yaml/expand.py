"""Model dict to model dict: expands a backbone row into the layers that it stands for. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from ..backbone import Backbone, Layer
from ..errors import BackboneError
from ..patching import checkpoints

LEVELS = 5
"""Layers of an expanded row, P1/2 to P5/32: they take indices 0 to 4, and the next row is 5."""


def expand(
    model: Mapping[str, Any], in_channels: int, backbones: Mapping[str, Backbone], modules: Mapping[str, object]
) -> Mapping[str, Any]:
    """Replace the backbone row of a model by ordinary layer rows.

    Args:
        model: A model dict as `ultralytics.nn.tasks.yaml_model_load` returns it. It is left as it is.
        in_channels: Channels of the image.
        backbones: The registered backbones by name.
        modules: What every other name in a row stands for, beside `nn.…` and `torchvision.ops.…`.

    Returns:
        `model` itself where its first row is no backbone, else a copy whose first `LEVELS` rows are its levels.

    Raises:
        BackboneError: A row names nothing that is known, or a backbone row cannot be expanded.
    """
    for section in ("backbone", "head"):
        for index, row in enumerate(model.get(section) or ()):
            if not isinstance(row, (list, tuple)) or len(row) < 3 or not isinstance(row[2], str):
                continue  # Ultralytics has its own words for these
            name = row[2]
            if name in backbones:
                _check_place(model, section, index)
            elif name not in modules and not name.startswith(("nn.", "torchvision.ops.")):
                near = _nearest(name, backbones, modules)
                raise BackboneError(f"{_where(model, section, index)}: unknown module '{name}'{near}")

    rows = model.get("backbone", [])
    backbone = backbones.get(rows[0][2]) if rows else None
    if backbone is None:
        return model
    layers = _build(model, backbone, in_channels)
    _check_references(model, layers)
    return {**model, "backbone": [*([x.source, 1, x.module.__name__, list(x.args)] for x in layers), *rows[1:]]}


def finish(
    model: Mapping[str, Any], in_channels: int, backbones: Mapping[str, Backbone], layers: Sequence[nn.Module]
) -> None:
    """Do to the `layers` built of `model` what can be done only now: load weights, say which package they are of.

    Raises:
        BackboneError: The weights that the backbone row asks for cannot be had or do not fit.
    """
    row = next(iter(model.get("backbone") or ()), None)
    backbone = backbones.get(row[2]) if row else None
    if row is None or backbone is None:
        return
    checkpoints.mark(layers[0], backbone)
    if not (row[3].get("pretrained") if isinstance(row[3], Mapping) else None):
        return
    levels = [*layers][:LEVELS]
    for level in levels:  # until training starts, since older releases find the strides with a black image in training
        level.eval()  # mode, which would enter the statistics of every BatchNorm
    if backbone.load_weights:
        try:
            backbone.load_weights(levels, in_channels, row[3]["pretrained"])
        except ValueError as error:
            raise BackboneError(f"{_where(model, 'backbone', 0)}: {error}") from error


def _check_references(model: Mapping[str, Any], layers: Sequence[Layer]) -> None:
    """Refuse a row that takes an index of the backbone at which there is no feature map."""
    places = [(s, i) for s in ("backbone", "head") for i in range(len(model.get(s) or ()))][1:]
    for position, (section, index) in enumerate(places, LEVELS):
        source = model[section][index][0]
        for given in source if isinstance(source, (list, tuple)) else [source]:
            level = position + given if isinstance(given, int) and given < 0 else given
            if level in range(LEVELS) and not layers[level].channels:
                known = ", ".join(f"{i} (P{i + 1}/{2 ** (i + 1)})" for i, x in enumerate(layers) if x.channels)
                raise BackboneError(
                    f"{_where(model, section, index)}: there is no feature map of '{model['backbone'][0][2]}' at index "
                    f"{level}; take {known}"
                )


def _check_place(model: Mapping[str, Any], section: str, index: int) -> None:
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
        raise BackboneError(f"{_where(model, section, index)}: {problem}")


def _build(model: Mapping[str, Any], backbone: Backbone, in_channels: int) -> list[Layer]:
    try:
        layers = list(backbone.build(in_channels, **_options(model, backbone)))
        if len(layers) != LEVELS:
            raise ValueError(f"'{backbone.name}' built {len(layers)} layers, expected {LEVELS} (P1/2 to P5/32)")
    except ValueError as error:
        raise BackboneError(f"{_where(model, 'backbone', 0)}: {error}") from error
    return layers


def _options(model: Mapping[str, Any], backbone: Backbone) -> dict[str, Any]:
    args = model["backbone"][0][3]
    known = backbone.options
    if isinstance(args, Mapping):
        options = dict(args)
    elif isinstance(args, (list, tuple)) and len(args) in {0, 2}:
        options = dict(zip(("depth", "width"), args))
    else:
        count = f"{len(args)} arguments" if isinstance(args, (list, tuple)) else repr(args)
        raise ValueError(f"args must be [], [depth, width] or {{option: value}}; found {count}")
    for option in options:
        if option not in known and not backbone.takes_any:
            raise ValueError(f"unknown option {option!r}; '{backbone.name}' takes {', '.join(known) or 'none'}")
    for option in backbone.required:
        if option not in {"width", *options}:
            raise ValueError(f"option {option!r} is missing; '{backbone.name}' takes {', '.join(known)}")
    return {"width": _scale_width(model), **options} if "width" in known else options


def _scale_width(model: Mapping[str, Any]) -> float:
    """The width factor that Ultralytics' parser uses for `model`."""
    scales = model.get("scales")
    if not scales:
        return model.get("width_multiple", 1.0)
    return scales[model.get("scale") or next(iter(scales))][1]


def _nearest(name: str, backbones: Collection[str], modules: Mapping[str, object]) -> str:
    """The part of a message that offers the names most like `name`, if any is like it."""
    known = [*backbones, *(k for k, v in modules.items() if isinstance(v, type) and issubclass(v, nn.Module))]
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=2)
    return "; did you mean " + " or ".join(f"'{by_lower[n]}'" for n in near) + "?" if near else ""


def _where(model: Mapping[str, Any], section: str, index: int) -> str:
    row = str(model[section][index]).replace("'", "")
    return f"{section} row {index} {row} of {model.get('yaml_file') or 'the model'}"
