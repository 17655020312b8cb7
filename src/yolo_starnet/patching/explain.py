"""What an error of Ultralytics is about: the row at which the parser failed, or the layer in the forward loop."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType, TracebackType
from typing import Any

import torch
from torch import nn

from .. import plugins
from ..errors import BackboneError, LayerError, brief
from ..model_yaml import expand, row_layers


def _locals_in(error: Exception, function: FunctionType) -> dict[str, Any]:
    """The local variables of `function` where `error` passed through it; empty where it did not."""
    frame: TracebackType | None = error.__traceback__
    while frame and frame.tb_frame.f_code is not function.__code__:
        frame = frame.tb_next
    return dict(frame.tb_frame.f_locals) if frame else {}


def name_row(error: Exception, parse: FunctionType, model: Mapping[str, Any], built: Mapping[str, Any]) -> None:
    """Raise `LayerError` or `BackboneError`, with the row, if the parser failed at one of a registered class.

    Args:
        error: What the parser raised.
        parse: The parser.
        model: The model dict that the user gave.
        built: The one that the parser got.
    """
    index = _locals_in(error, parse).get("i")
    if index is None:
        return  # before the first row
    # The parser's own variable may still hold the class of the row before, where this row is malformed.
    name = expand.module_name([*built["backbone"], *built["head"]][index])
    table = plugins.table()
    kind = LayerError if name in table.layers else BackboneError if name in table.modules else None
    if kind:
        raise kind(f"{row_layers.places(model, built)[index]}: {brief(error)}") from error


def name_layer(error: Exception, loop: FunctionType, model: nn.Module, image: Any) -> None:
    """Add to the message of `error` the layer of `model` that raised it, its inputs, and a wrong image size."""
    local = _locals_in(error, loop)
    layer, inputs = local.get("m"), local.get("x")
    if (
        not isinstance(layer, nn.Module)
        or not hasattr(layer, "i")
        or not (error.args and isinstance(error.args[0], str))
    ):
        return
    tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    shapes = ", ".join(str(tuple(t.shape)) if isinstance(t, torch.Tensor) else str(type(t)) for t in tensors)
    message = f"{error.args[0]}\nLayer {layer.i} ({layer.type}), from {layer.f}, failed on inputs of shape {shapes}."
    stride = int(max(getattr(model, "stride", [0])))
    height, width = image.shape[-2:]
    if stride and (height % stride or width % stride):
        message += f" The image is {height} x {width} (H x W): both must be multiples of the largest stride, {stride}."
    error.args = (message, *error.args[1:])
