"""The loss of a transplant: how far the feature maps of the student are from those of the trained model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.modules import Conv, Detect

from ..feature_maps import STRIDES
from ..model_yaml import strides
from ..model_yaml.expand import LEVELS
from .adapter import AdaptedConv2d, Part

BY_SCORE = 0.7
"""The share of the error that is weighted by the scores of the trained model."""
_LOSSES_BY_NAME = "label_loss_items" not in vars(DetectionTrainer)
"""Whether the trainer of the installed Ultralytics takes losses as a dict; before 8.4.120 it takes a tensor."""


class View(NamedTuple):
    """A convolution of the head that takes a feature map of the neck.

    Attributes:
        name: The name of the map, such as `N3`.
        conv: The convolution, with its BatchNorm.
        row: The row of the trained model that gives the map.
        layer: The layer of the student that does.
    """

    name: str
    conv: Any
    row: int
    layer: int


class Matching:
    """The loss of a student: how far its feature maps are from those of the trained model, as the next row sees them.

    Attributes:
        names: The maps that are compared: levels of the backbone, such as `P4`, and of the neck, such as `N4`.
        with_neck: Whether the maps of the neck count. The neck stays as it is, so the backbone learns what it needs.
    """

    def __init__(self, student: Any, trained: Any) -> None:
        """Find what is compared, and freeze what was trained: its tensors, and the statistics of its BatchNorms."""
        self.student, self.trained = student, trained.eval().requires_grad_(False)
        self.with_neck = False
        self.compared = [
            (module, index, part)
            for module in student.modules()
            if isinstance(module, AdaptedConv2d)
            for index, part in enumerate(module.parts)
            if part.is_replaced
        ]
        self.head = _scoring_head(trained)
        self.views = [*_views(student, self.head)] if self.head else []
        self.names = tuple(dict.fromkeys([_level(part) for *_, part in self.compared] + [v.name for v in self.views]))
        self.last_row = max([part.row for *_, part in self.compared] + [view.row for view in self.views])
        new = {*range(LEVELS), *(part.layer for *_, part in self.compared)}
        self.kept = [layer for layer in student.model if layer.i not in new]
        for layer in self.kept:
            layer.requires_grad_(False)
        for module, *_ in self.compared:
            module.adapters.requires_grad_(True)

    def __call__(self, batch: dict[str, Any], preds: Any = None) -> tuple[torch.Tensor, Any]:
        """The loss of a batch, multiplied by its size as Ultralytics' losses are, and the error of each map.

        The loss is the sum of the logarithms of the errors: a level that is hard to learn does not outweigh the others.
        """
        image, views = batch["img"], self.views if self.with_neck else []
        for layer in self.kept:
            layer.eval()  # training puts the whole student into training mode
        with torch.no_grad():
            rows = _maps(self.trained, self.last_row, image)
            weight = self._weight(rows)
        layers = _maps(self.student, max([p.layer for *_, p in self.compared] + [v.layer for v in views]), image)
        errors = dict.fromkeys(self.names, image.new_zeros(()))
        for module, index, part in self.compared:
            error = _error(module, index, layers[part.layer], rows[part.row], weight)
            errors[_level(part)] = errors[_level(part)] + error
        for view in views:
            errors[view.name] = errors[view.name] + _seen(view, layers[view.layer] - rows[view.row], weight)
        stacked = torch.stack([*errors.values()])
        items = {name: error.detach() for name, error in errors.items()} if _LOSSES_BY_NAME else stacked.detach()
        return (stacked[stacked != 0] + 1e-3).log().sum() * len(image), items

    def _weight(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """How much each place of an image counts, B x 1 x H x W with a mean of 1.

        An object covers few places. Without weights the background, of which the head makes nothing, decides.
        """
        if self.head is None:
            return torch.ones(1, 1, 1, 1, device=rows[0].device)
        scores = [
            branch(rows[row]).sigmoid().amax(1, keepdim=True) for row, branch in zip(self.head.f, _branches(self.head))
        ]
        size = max(score.shape[2:] for score in scores)
        # A convolution of 3 x 3 sees the places around it.
        near = [nn.functional.interpolate(nn.functional.max_pool2d(s, 3, 1, 1), size) for s in scores]
        highest = torch.stack(near).amax(0).sqrt()
        return 1 - BY_SCORE + BY_SCORE * highest / highest.mean()


def _scoring_head(model: Any) -> Any:
    """The head of a model if it scores classes place by place; else None."""
    head = model.model[-1]
    scores = isinstance(head, Detect) and all(branch[-1].out_channels == head.nc for branch in _branches(head))
    return head if scores else None


def _branches(head: Any) -> Any:
    """The branches that score classes. Those of YOLO26 that predict are a copy; where it keeps no others, these."""
    return head.cv3 or head.one2one_cv3


def _views(student: Any, head: Any) -> list[View]:
    """The first convolutions of the branches that a head predicts boxes and classes with."""
    levels = [f"N{round(math.log2(stride))}" for stride in head.stride.tolist()]
    branches = [getattr(head, f"one2one_{name}", None) or getattr(head, name) for name in ("cv2", "cv3")]
    sources = list(zip(levels, head.f, student.model[-1].f))
    return [
        View(name, next(m for m in branch[i].modules() if isinstance(m, Conv)), row, layer)
        for branch in branches
        for i, (name, row, layer) in enumerate(sources)
    ]


def _level(part: Part) -> str:
    """The name of a level. A convolution that restores the channels of P5 follows P5."""
    return f"P{min(part.layer + 1, len(STRIDES))}"


def _maps(model: Any, last: int, image: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of the layers up to `last`."""
    return [output for _, output in strides.run_rows(list(model.model)[: last + 1], image)]


def _error(
    module: AdaptedConv2d, index: int, new: torch.Tensor, trained: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """The error of a feature map as the convolution that takes it sees it; and that of the map if more takes it."""
    error = _mean(module.error(index, new, trained), weight)
    if module.parts[index].exact:
        error = error + _mean((new - trained).square(), weight) / trained.var()
    return error


def _seen(view: View, difference: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The error that a difference causes in the output of a convolution, in units of the output's variance."""
    conv, norm = view.conv.conv, view.conv.bn
    output = nn.functional.conv2d(difference, conv.weight, stride=conv.stride, padding=conv.padding, groups=conv.groups)
    return _mean((output.square() / norm.running_var[:, None, None]).mean(1, keepdim=True), weight)


def _mean(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The mean of an error, weighted by place."""
    return (error * nn.functional.adaptive_max_pool2d(weight, error.shape[2:])).mean()
