"""The stride of each row of a stock model, and the stock forward loop that measures it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from ultralytics.nn import tasks

from ..errors import BackboneError, nearest

SIZE = 128
"""Height and width in pixels of the image that strides are measured on. At P6/64 it leaves 2 x 2 cells."""


def of_rows(model: Mapping[str, Any]) -> list[int | None]:
    """The stride in pixels of each row under `backbone:`, None where its output is no feature map.

    The stock parser builds the rows, also while the plugin is active: a patch never runs inside itself.

    Args:
        model: A model dict of stock rows.

    Raises:
        BackboneError: A row names a module that Ultralytics does not have.
    """
    rows = deepcopy({**model, "head": []})
    if len(rows["backbone"]) < 3:
        return [None] * len(rows["backbone"])  # a whole network in one row, which Ultralytics might download
    rows.setdefault("scale", next(iter(rows.get("scales") or ()), ""))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            layers, _ = inspect.unwrap(tasks.parse_model)(rows, 3, verbose=False)
        except KeyError as error:  # the stock parser looks a module up in its globals
            name = str(error.args[0])
            raise BackboneError(
                f"only a model of stock rows can be grafted, and Ultralytics has no module '{name}'"
                f"{nearest(name, vars(tasks))}"
            ) from error
        image = torch.zeros(1, 3, SIZE, SIZE)
        return [_stride(output) for _, output in run_rows(layers.eval().children(), image)]


def run_rows(layers: Iterable[Any], x: Any) -> Iterator[tuple[Any, Any]]:
    """Run the layers of a model in order, as the stock forward loop does.

    Args:
        layers: The built rows. `f` of a layer is the row's `from`: an index, -1 for the layer before, or a list.
        x: The image, B x C x H x W.

    Yields:
        Each layer and its output, as soon as it has run.
    """
    outputs: list[Any] = []
    for layer in layers:
        if layer.f != -1:
            x = outputs[layer.f] if isinstance(layer.f, int) else [x if j == -1 else outputs[j] for j in layer.f]
        x = layer(x)
        outputs.append(x)
        yield layer, x


def run_model(model: Any, image: torch.Tensor, *, head: bool = True) -> list[Any]:
    """The output of each layer of a built model, in evaluation mode and without gradients; the model stays as it was.

    Args:
        model: A model of Ultralytics.
        image: Images, B x C x H x W with `image_channels` channels. They get the device and the type of the weights.
        head: Whether the last layer runs, too.
    """
    training, end = model.training, None if head else -1
    try:
        with torch.no_grad():
            layers = list(model.eval().model)[:end]
            return [output for _, output in run_rows(layers, image.to(next(model.parameters())))]
    finally:
        model.train(training)


def image_channels(model: Any) -> int:
    """The channels of the images that a built model takes."""
    return int(model.yaml.get("channels") or model.yaml.get("ch") or 3)


def sources(layer: Any) -> list[int]:
    """The numbers of the layers whose outputs a built layer takes; -1 for the image."""
    return [layer.i + f if f < 0 else f for f in (layer.f if isinstance(layer.f, list) else [layer.f])]


def _stride(output: Any) -> int | None:
    """The stride in pixels of a feature map of the image of `SIZE`, None for any other output."""
    is_map = isinstance(output, torch.Tensor) and output.ndim == 4 and SIZE % output.shape[-1] == 0
    return SIZE // output.shape[-1] if is_map else None
