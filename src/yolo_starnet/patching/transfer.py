"""Weights from one model to another on a different backbone, row by row instead of by index."""

from __future__ import annotations

from collections.abc import Collection
from itertools import takewhile
from typing import Any

import torch
from torch import nn


class Renamed:
    """A model whose tensors have the names of another model's rows; everything else is that of the model."""

    def __init__(self, model: nn.Module, rows: dict[int, int]) -> None:
        """Rename the tensors of the rows that are keys of `rows`, and leave out all others."""
        self._model, self._rows = model, rows

    def __getattr__(self, name: str) -> Any:
        """Everything else."""
        return getattr(self._model, name)

    def float(self) -> Renamed:
        """Convert the model to float32, as the stock code asks for."""
        self._model.float()
        return self

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The renamed tensors."""
        renamed = {}
        for name, tensor in self._model.state_dict().items():
            _, _, rest = name.partition("model.")
            row, _, rest = rest.partition(".")
            if row.isdecimal() and int(row) in self._rows:
                renamed[f"model.{self._rows[int(row)]}.{rest}"] = tensor
        return renamed


def same_rows(source: Any, target: Any, registered: Collection[type]) -> dict[int, int] | None:
    """Rows of two models that have the same place behind their backbones.

    Args:
        source: The model that weights are taken from.
        target: The model that they are loaded into.
        registered: The classes that registered backbones are built of.

    Returns:
        Row of `source` to row of `target`: their heads, then row by row towards the backbone up to the first that
        differs. None where neither model has a registered backbone, or all rows are alike: then the indices are right.
    """
    kinds = [[type(layer) for layer in getattr(model, "model", ())] for model in (source, target)]
    if kinds[0] == kinds[1] or not any(kind[:1] and kind[0] in registered for kind in kinds):
        return None
    pairs = zip(reversed(kinds[0][:-1]), reversed(kinds[1][:-1]))
    alike = 1 + len(list(takewhile(lambda pair: pair[0] is pair[1], pairs)))
    ends = [len(kind) for kind in kinds]
    return {ends[0] - i: ends[1] - i for i in range(1, alike + 1)}


def describe(rows: dict[int, int]) -> str:
    """What `same_rows` found, for the log."""
    source, target = (f"{min(some)} to {max(some)}" for some in (rows.keys(), rows.values()))
    return (
        f"the weights are of a model on another backbone: its rows {source} become rows {target}, and no other row is "
        "filled. To train the new backbone, too, see yolo-starnet transplant --help"
    )
