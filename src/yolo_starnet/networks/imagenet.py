"""ImageNet weights for the levels of a StarNet, from timm's hub or a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from ultralytics.utils import LOGGER

from ..errors import brief

EPS = 1e-3
"""The `eps` that Ultralytics sets in every plain BatchNorm; the weights were trained with PyTorch's 1e-5."""
USED = ("stem.", "stages.")
"""How the keys of timm's tensors begin that a backbone uses: all but the classifier's."""


def overlay(pretrained: object) -> dict[str, str] | None:
    """The `pretrained_cfg_overlay` for timm: the file of the weights, or None where timm's hub has them.

    Raises:
        ValueError: `pretrained` is neither a flag nor the path of a file that exists.
    """
    if isinstance(pretrained, bool):
        return None
    if not isinstance(pretrained, (str, Path)):
        raise ValueError(f"pretrained must be true, false or the path of a file, found {pretrained!r}")
    file = os.path.expanduser(pretrained)
    if not os.path.isfile(file):  # unlike pathlib's, false for a path that is too long or not possible
        absolute = Path(file).absolute()
        raise ValueError(f"pretrained: there is no file '{absolute}'; give the path of a file with weights")
    return {"file": file}


def source(pretrained: object) -> str:
    """The place that weights come from, for logs and messages."""
    return "timm's hub" if pretrained is True else str(pretrained)


def load(name: str, levels: Sequence[nn.Module], in_channels: int, pretrained: bool | str) -> None:
    """Load ImageNet weights into the five levels of a StarNet of width 1.0.

    Args:
        name: The variant, which has the same name in timm.
        levels: The stem and the four stages.
        in_channels: Channels of the image; if they are not three, timm adapts the stem's weights.
        pretrained: True for timm's weights, which timm fetches and caches, or the path of a checkpoint of timm's or
            the authors'.

    Raises:
        ValueError: The weights cannot be fetched or read, or a tensor is missing or of another shape.
    """
    model = _fetch(name, in_channels, pretrained)
    network = nn.Sequential(*levels)
    tensors = [tensor for key, tensor in model.state_dict().items() if key.startswith(USED)]
    network.load_state_dict(dict(zip(network.state_dict(), tensors, strict=True)))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            _absorb_eps(module)
    LOGGER.info(f"{name}: {len(tensors)} of {len(network.state_dict())} tensors loaded from {source(pretrained)}")


def _fetch(name: str, in_channels: int, pretrained: bool | str) -> nn.Module:
    """Build timm's model without its classifier and load its weights by timm's own code."""
    import timm  # takes seconds, so it is imported only where a row needs it
    from timm.models import load_pretrained, resolve_pretrained_cfg

    missing: list[str] = []
    model = timm.create_model(name, in_chans=in_channels, num_classes=0)
    model.register_load_state_dict_post_hook(lambda _, keys: missing.extend(keys.missing_keys))
    config = resolve_pretrained_cfg(name, pretrained_cfg_overlay=overlay(pretrained)).to_dict()
    try:
        load_pretrained(model, config, num_classes=0, in_chans=in_channels, filter_fn=_unwrap)
    except Exception as error:  # the network, the file or its format may raise anything
        raise ValueError(f"no weights for {name} from {source(pretrained)}: {brief(error)}") from error
    lost = [key for key in missing if key.startswith(USED)]
    if lost:
        listed = ", ".join(lost[:3]) + (", …" if len(lost) > 3 else "")
        raise ValueError(f"{source(pretrained)} lacks {len(lost)} tensors of {name}: {listed}; give a whole checkpoint")
    return model


def _unwrap(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """The tensors of a checkpoint; those of the authors' have other entries too."""
    return state.get("state_dict", state)


def _absorb_eps(norm: nn.BatchNorm2d) -> None:
    """Set `eps` to Ultralytics' value and scale the weight, so that the output in eval mode stays the same."""
    assert norm.running_var is not None
    with torch.no_grad():
        norm.weight.mul_(torch.sqrt((norm.running_var + EPS) / (norm.running_var + norm.eps)))
    norm.eps = EPS
