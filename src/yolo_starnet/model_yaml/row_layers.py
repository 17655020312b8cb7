"""Rows that name a registered layer: scaled as stock rows, given their input channels, checked once built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import LayerError, brief
from ..row_layer import RowLayer
from .expand import named_rows, scale_constants, where
from .strides import run_rows

PROBE_SIZE = (128, 192)
"""Height and width of the image that built layers are checked with: multiples of 64 for P6, not square."""


def scale_rows(model: Mapping[str, Any], known: Mapping[str, RowLayer]) -> Mapping[str, Any]:
    """Scale the rows of registered layers as the parser scales stock rows.

    Args:
        model: A model dict as `ultralytics.nn.tasks.yaml_model_load` returns it. It is left as it is.
        known: The registered layers by name.

    Returns:
        `model` itself where no row names a registered layer or its scale is malformed, else a copy in which those rows
        are new lists.

    Raises:
        LayerError: A row gives a layer what it does not take.
    """
    constants = scale_constants(model)
    if constants is None:
        return model
    scaled: dict[str, Any] = {}
    for section, index, name in named_rows(model):
        if name in known:
            rows = scaled.setdefault(section, list(model[section]))
            try:
                rows[index] = scale(model[section][index], known[name], constants, model.get("nc"))
            except (ValueError, OverflowError) as error:
                raise LayerError(f"{where(model, section, index)}: {error}") from error
    return {**model, **scaled} if scaled else model


def scale(row: Sequence[Any], layer: RowLayer, constants: Sequence[float], nc: object = None) -> list[Any]:
    """The row that the parser gets: its channels follow width, its repeats depth, as `parse_model` does it.

    Args:
        row: `[from, repeats, NAME, args]`. It is left as it is.
        layer: The layer that `NAME` stands for.
        constants: Depth, width and `max_channels` of the model's scale.
        nc: The number of classes, which is not scaled.

    Returns:
        A new row with new arguments.

    Raises:
        ValueError: The row cannot be what the layer takes, or the scale is not three numbers.
        OverflowError: A number of the row or of the scale is too large to scale.
    """
    if len(row) != 4:
        raise ValueError(f"found {len(row)} items, expected [from, repeats, module, args]")
    source, repeats, name, args = row
    if not isinstance(args, (list, tuple)):
        raise ValueError(f"args must be a list, found {args!r}")
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise ValueError(f"repeats must be a whole number from 1 up, found {repeats!r}")
    layer.check_inputs(source)
    if not all(isinstance(constant, (int, float)) for constant in constants):
        raise ValueError(f"depth, width and max_channels of the model must be numbers, found {list(constants)}")
    depth, width, max_channels = constants
    args = list(args)
    if layer.scaled and (args or layer.repeats == "argument"):
        args[:1] = [_output_channels(args, width, max_channels, nc)]
    if layer.repeats == "argument":
        args.insert(1 if layer.scaled else 0, max(round(repeats * depth), 1) if repeats > 1 else repeats)
        repeats = 1
    return [source, repeats, name, args]


def _output_channels(args: Sequence[Any], width: float, max_channels: float, nc: object) -> int:
    """The first argument of a row, its output channels, scaled unless it is the number of classes, as in stock rows."""
    channels = args[0] if args else None
    if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
        raise ValueError(f"the first argument must be a number of output channels, found {channels!r}")
    return channels if channels == nc else math.ceil(min(channels, max_channels) * width / 8) * 8


def named(built: Mapping[str, Any], known: Mapping[str, RowLayer]) -> dict[int, RowLayer]:
    """The registered layers of a built model, by the index of their row."""
    rows = [*built["backbone"], *built["head"]]
    return {i: known[row[2]] for i, row in enumerate(rows) if row[2] in known}


def places(model: Mapping[str, Any], built: Mapping[str, Any]) -> list[str]:
    """How an error names the row that each layer was built of.

    Args:
        model: The model dict that the user gave.
        built: The same with its backbone row expanded.
    """
    extra = len(built["backbone"]) - len(model["backbone"])
    names = [where(model, section, i) for section in ("backbone", "head") for i in range(len(model[section]))]
    return [names[0]] * extra + names


def hand_in_channels(layer: RowLayer, args: list[Any], source: Any, repeats: int, channels: Sequence[int]) -> int:
    """Put the channels of its inputs in front of the arguments of a row, in place.

    Args:
        layer: The layer that the row names.
        args: The arguments of the row.
        source: Its `from`.
        repeats: How many modules are stacked.
        channels: The output channels of every row before it.

    Returns:
        The output channels.

    Raises:
        ValueError: The layer does not know them, or cannot be stacked.
    """
    args.insert(0, [channels[i] for i in source] if layer.takes_list else channels[source])
    out_channels = layer.channels(args)
    if repeats > 1 and out_channels != args[0]:
        raise ValueError(
            f"repeats stacks {layer.name}, but it takes {args[0]} channels and returns {out_channels}; set repeats to 1"
        )
    return out_channels


def check(
    layers: nn.Sequential, model: Mapping[str, Any], built: Mapping[str, Any], chosen: Mapping[int, RowLayer], ch: int
) -> None:
    """Run the built layers on a black image, up to the last registered one, and compare the channels of each.

    Args:
        layers: What the parser built.
        model: The model dict that the user gave.
        built: The one that the parser got; the arguments of its rows now begin with their input channels.
        chosen: The registered layers among them, by index; see `named`.
        ch: Channels of the image.

    Raises:
        LayerError: A registered layer fails, or returns other channels than `out_channels` says.
    """
    if not chosen:
        return
    rows, names = [*built["backbone"], *built["head"]], places(model, built)
    modes = [(module, module.training) for module in layers.modules()]
    outputs = run_rows(layers.eval().children(), torch.zeros(1, ch, *PROBE_SIZE))
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            for index in range(max(chosen) + 1):
                output = _next_output(outputs, names[index] if index in chosen else None)
                if index in chosen:
                    _check_output(output, chosen[index], rows[index][3], names[index])
                elif output is None:
                    break
    finally:
        for module, training in modes:
            module.training = training


def _next_output(outputs: Iterator[tuple[nn.Module, Any]], place: str | None) -> Any:
    """The output of the next layer; None where a stock layer fails, since it needs more than maps, such as text."""
    try:
        return next(outputs)[1]
    except Exception as error:  # of any kind: the code of others runs here
        if place is None:
            return None
        raise LayerError(f"{place}: failed on an image of {PROBE_SIZE[0]} x {PROBE_SIZE[1]}: {brief(error)}") from error


def _check_output(output: Any, layer: RowLayer, args: Sequence[Any], place: str) -> None:
    channels = layer.channels(args)
    if not isinstance(output, torch.Tensor) or output.ndim < 2 or output.shape[1] != channels:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise LayerError(
            f"{place}: {layer.name} returned {shape}, expected {channels} channels as its out_channels says; correct it"
        )
