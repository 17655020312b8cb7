"""How large the weights before a BatchNorm are: it does not change what a network computes, only how fast it learns.

A step of a given size turns large weights less than small ones. A transplant takes large steps, after which some
weights are 20 times as large as before, and a fine-tuning would hardly change them any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from ultralytics.utils import LOGGER

from ..model_yaml import strides
from ..model_yaml.expand import LEVELS
from .adapter import AdaptedConv2d

BACKBONE_SIZE = 0.5
"""How large the weights of the new backbone become, of PyTorch's initial ones. Small weights learn fast, as images of
other objects ask for; smaller ones forget more than they learn (see benchmarks/HISTORY.md)."""
TOLERANCE = 1e-3
"""How much a feature map may change by rounding, as a share of its largest value."""


def learned(student: Any) -> list[nn.Module]:
    """The modules of a student that a transplant trains: the new rows, and those with an adapter."""
    parents = [m for m in student.modules() if any(isinstance(child, AdaptedConv2d) for child in m.children())]
    parts = [part for parent in parents for m in parent.children() if isinstance(m, AdaptedConv2d) for part in m.parts]
    new = {*range(LEVELS), *(part.layer for part in parts if part.is_replaced)}
    return [*(student.model[layer] for layer in sorted(new)), *parents]


@torch.no_grad()
def restore(model: Any, modules: Iterable[nn.Module]) -> int:
    """Make the weights of convolutions as large as PyTorch's initial ones, where a BatchNorm takes their output.

    Those of the backbone become `BACKBONE_SIZE` times as large.

    Args:
        model: A model of Ultralytics. It computes the same afterwards, to rounding.
        modules: The parts of it whose convolutions are meant.

    Returns:
        How many convolutions were changed; 0 where the network uses their output elsewhere, too.
    """
    chosen = {conv for module in modules for conv in module.modules() if isinstance(conv, nn.Conv2d)}
    backbone = {*model.model[:LEVELS].modules()}
    before, pairs = _observe(model)
    state = deepcopy(model.state_dict())
    pairs = [(conv, norm) for conv, norm in pairs if conv in chosen]
    for conv, norm in pairs:
        _resize(conv, norm, BACKBONE_SIZE if conv in backbone else 1.0)
    after, _ = _observe(model)
    if all((new - old).abs().max() <= TOLERANCE * old.abs().max() for new, old in zip(after, before)):
        return len(pairs)
    model.load_state_dict(state)
    LOGGER.warning(
        "yolo-starnet: the weights of the backbone stay as large as the transplant left them, and a fine-tuning may "
        "move them little: the backbone uses the output of a convolution not only in the BatchNorm behind it"
    )
    return 0


def _resize(conv: nn.Conv2d, norm: Any, size: float) -> None:
    """Give a convolution `size` times the norm of uniform weights within 1/sqrt(inputs); its BatchNorm undoes that."""
    factor = size * math.sqrt(conv.out_channels / 3) / conv.weight.norm()
    variance = norm.running_var + norm.eps
    conv.weight *= factor
    if conv.bias is not None:
        conv.bias *= factor
    norm.running_mean *= factor
    norm.running_var *= factor**2
    norm.weight *= ((norm.running_var + norm.eps) / variance).sqrt() / factor


def _observe(model: Any) -> tuple[list[torch.Tensor], list[tuple[nn.Conv2d, nn.BatchNorm2d]]]:
    """The feature maps of a model, and each convolution with the BatchNorm that takes its output."""
    outputs: dict[int, tuple[torch.Tensor, nn.Conv2d]] = {}  # with the tensor, so that no other gets its id
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def remember(conv: Any, _: Any, output: torch.Tensor) -> None:
        outputs[id(output)] = output, conv

    def find(norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        if norm.affine and norm.track_running_stats and id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][1], norm))

    hooks = [m.register_forward_hook(remember) for m in model.modules() if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_pre_hook(find) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    size = 1, strides.image_channels(model), strides.SIZE, strides.SIZE
    try:
        run = strides.run_model(model, torch.rand(size, generator=torch.Generator().manual_seed(0)))
    finally:
        for hook in hooks:
            hook.remove()
    return [output for output in run[:-1] if isinstance(output, torch.Tensor)], pairs
