"""The loss of a transplant: how far the feature maps of the new backbone are from those of the trained one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.modules import Detect

from ..feature_maps import STRIDES
from ..model_yaml import strides
from .adapter import AdaptedConv2d, Part

BY_SCORE = 0.7
"""The share of the error that is weighted by the scores of the trained model."""
_LOSSES_BY_NAME = "label_loss_items" not in vars(DetectionTrainer)
"""Whether the trainer of the installed Ultralytics takes losses as a dict; before 8.4.120 it takes a tensor."""


class Matching:
    """The loss of a student: how far the feature maps of its backbone are from those of the trained one.

    Attributes:
        names: The levels that are compared, such as `P4`.
    """

    def __init__(self, student: Any, trained: Any) -> None:
        """Find what is compared. The trained model is put into eval mode."""
        self.student, self.trained = student, trained.eval().requires_grad_(False)
        self.compared = [
            (module, index, part)
            for module in student.modules()
            if isinstance(module, AdaptedConv2d)
            for index, part in enumerate(module.parts)
            if part.is_replaced
        ]
        self.names = tuple(dict.fromkeys(self._level(part) for *_, part in self.compared))
        self.head = _scoring_head(self.trained)
        self.last_row = max(self.head.f if self.head else [part.row for *_, part in self.compared])

    def __call__(self, batch: dict[str, Any], preds: Any = None) -> tuple[torch.Tensor, Any]:
        """The loss of a batch, multiplied by its size as Ultralytics' losses are, and its terms."""
        image = batch["img"]
        with torch.no_grad():
            rows = self._maps(self.trained, self.last_row, image)
            weight = self._weight(rows)
        layers = self._maps(self.student, max(part.layer for *_, part in self.compared), image)
        terms = dict.fromkeys(self.names, image.new_zeros(()))
        for module, index, part in self.compared:
            terms[self._level(part)] = terms[self._level(part)] + _error(
                module, index, layers[part.layer], rows[part.row], weight
            )
        stacked = torch.stack([*terms.values()])
        items = {name: term.detach() for name, term in terms.items()} if _LOSSES_BY_NAME else stacked.detach()
        return stacked.sum() * len(image), items

    def _weight(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """How much each place of an image counts, B x 1 x H x W with a mean of 1.

        An object covers few places. Without weights the background, of which the head makes nothing, decides.
        """
        if self.head is None:
            return torch.ones(1, 1, 1, 1, device=rows[0].device)
        scores = [branch(rows[row]).sigmoid().amax(1, keepdim=True) for row, branch in zip(self.head.f, self.head.cv3)]
        size = max(score.shape[2:] for score in scores)
        # A convolution of 3 x 3 sees the places around it.
        near = [nn.functional.interpolate(nn.functional.max_pool2d(s, 3, 1, 1), size) for s in scores]
        highest = torch.stack(near).amax(0)
        return 1 - BY_SCORE + BY_SCORE * highest / highest.mean()

    @staticmethod
    def _level(part: Part) -> str:
        """The name of a level. A convolution that restores the channels of P5 follows P5."""
        return f"P{min(part.layer + 1, len(STRIDES))}"

    @staticmethod
    def _maps(model: Any, last: int, image: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of the layers up to `last`."""
        return [output for _, output in strides.run_rows(list(model.model)[: last + 1], image)]


def _scoring_head(model: Any) -> Any:
    """The head of a model if it scores classes place by place; else None."""
    head = model.model[-1]
    branches: Any = head.cv3 if isinstance(head, Detect) else ()
    return head if branches and all(branch[-1].out_channels == head.nc for branch in branches) else None


def _error(
    module: AdaptedConv2d, index: int, new: torch.Tensor, trained: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """The error of a feature map as the convolution that takes it sees it; and that of the map if more takes it."""
    error = _mean(module.error(index, new, trained), weight)
    if module.parts[index].exact:
        error = error + _mean((new - trained).square(), weight) / trained.var()
    return error


def _mean(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The mean of an error, weighted by place."""
    return (error * nn.functional.adaptive_max_pool2d(weight, error.shape[2:])).mean()
