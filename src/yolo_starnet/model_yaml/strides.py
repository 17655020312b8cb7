"""The stride of each row of a stock model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from ultralytics.nn import tasks

SIZE = 128
"""Height and width in pixels of the image that strides are measured on: up to P6/64, 2 x 2 cells are left."""


def of_rows(model: Mapping[str, Any]) -> list[int | None]:
    """The stride in pixels of each row under `backbone:`, None where its output is no feature map.

    Args:
        model: A model dict of stock rows.
    """
    rows = deepcopy({**model, "head": []})
    if len(rows["backbone"]) < 3:
        return [None] * len(rows["backbone"])  # a whole network in a row, which building might download
    rows.setdefault("scale", next(iter(rows.get("scales") or ()), ""))
    found: list[int | None] = []
    outputs: list[Any] = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        layers, _ = tasks.parse_model(rows, 3, verbose=False)
        x: Any = torch.zeros(1, 3, SIZE, SIZE)
        for layer in layers.eval():
            if layer.f != -1:
                x = outputs[layer.f] if isinstance(layer.f, int) else [x if j == -1 else outputs[j] for j in layer.f]
            x = layer(x)
            outputs.append(x)
            whole = isinstance(x, torch.Tensor) and x.ndim == 4 and SIZE % x.shape[-1] == 0
            found.append(SIZE // x.shape[-1] if whole else None)
    return found
