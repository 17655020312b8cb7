"""ImageNet weights, from timm's hub or a file, into the levels of a StarNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from ultralytics.utils import LOGGER

from ..errors import brief

EPS = 1e-3
"""What Ultralytics sets for every plain BatchNorm; the weights were trained with PyTorch's 1e-5."""


def overlay(pretrained: object) -> dict[str, str] | None:
    """What timm is told of the place of weights: nothing where it knows itself.

    Raises:
        ValueError: `pretrained` is neither a flag nor the path of a file that exists.
    """
    if isinstance(pretrained, bool):
        return None
    if not isinstance(pretrained, (str, Path)):
        raise ValueError(f"pretrained must be true, false or the path of a file, found {pretrained!r}")
    file = Path(pretrained).expanduser()
    if not file.is_file():
        raise ValueError(f"pretrained: there is no file '{file}' (looked in {Path.cwd()})")
    return {"file": str(file)}


def told(pretrained: object) -> str:
    """Where weights came from, for the log."""
    return "timm's hub" if pretrained is True else str(pretrained)


def load(name: str, levels: Sequence[nn.Module], in_channels: int, pretrained: bool | str) -> None:
    """Fill the five levels of a StarNet of width 1.0 with weights of timm's or of the authors'.

    Args:
        name: The variant, which timm has under the same name.
        levels: The stem and the four stages.
        in_channels: Channels of the image; the stem is adapted as timm does it where they are not three.
        pretrained: True for timm's weights, fetched and cached by timm, or the path of a checkpoint.

    Raises:
        ValueError: The weights cannot be had, or do not fit to the last tensor.
    """
    theirs = _fetch(name, in_channels, pretrained)
    ours = nn.Sequential(*levels)
    state = [t for key, t in theirs.state_dict().items() if key.startswith(("stem.", "stages."))]
    ours.load_state_dict(dict(zip(ours.state_dict(), state, strict=True)))
    norms = [m for m in ours.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        _absorb_eps(norm)
    LOGGER.info(f"{name}: {len(state)} of {len(ours.state_dict())} tensors loaded from {told(pretrained)}")


def _fetch(name: str, in_channels: int, pretrained: bool | str) -> nn.Module:
    """Timm's model with its weights, by timm's own code, without the classifier."""
    import timm  # takes seconds, so only where a row needs it
    from timm.models import load_pretrained, resolve_pretrained_cfg

    missing: list[str] = []
    model = timm.create_model(name, in_chans=in_channels, num_classes=0)
    model.register_load_state_dict_post_hook(lambda _, keys: missing.extend(keys.missing_keys))
    config = resolve_pretrained_cfg(name, pretrained_cfg_overlay=overlay(pretrained)).to_dict()
    try:
        load_pretrained(model, config, num_classes=0, in_chans=in_channels, filter_fn=_unwrap)
    except Exception as error:  # of the network, of the file, of its format
        raise ValueError(f"no weights for {name} from {told(pretrained)}: {brief(error)}") from error
    lost = [key for key in missing if key.startswith(("stem.", "stages."))]
    if lost:
        raise ValueError(f"{told(pretrained)} lacks {len(lost)} tensors of {name}: {', '.join(lost[:3])}, …")
    return model


def _unwrap(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """The tensors of a checkpoint of the authors', which holds more than them."""
    return state.get("state_dict", state)


def _absorb_eps(norm: nn.BatchNorm2d) -> None:
    """Set `eps` to Ultralytics' and scale the weight so that the output in eval mode stays as it is."""
    assert norm.running_var is not None
    with torch.no_grad():
        norm.weight.mul_(torch.sqrt((norm.running_var + EPS) / (norm.running_var + norm.eps)))
    norm.eps = EPS
