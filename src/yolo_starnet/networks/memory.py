"""Use of memory, which decides how fast a CPU is: the memory format of images, and results in the place of operands."""

from __future__ import annotations

import torch
from ultralytics.utils import DEFAULT_CFG_DICT

from . import onednn

CHANNELS_LAST = torch.channels_last


def arrange_image(image: torch.Tensor, weight: torch.Tensor, training: bool) -> torch.Tensor:
    """Convert an image to channels-last format where that makes predictions faster.

    Depthwise convolutions on x86 CPUs then take about half the time. Every later layer keeps the format. Recent
    releases of Ultralytics have an argument `channels_last`. It sets the format of the weights, and so decides.

    A training keeps PyTorch's own format: on CPUs, BatchNorm is exact in it. In channels-last, the variance of a batch
    of 16 x 8 x 320 x 320 has a relative error of 1e-3 in place of 5e-8.

    Args:
        image: B x c x H x W.
        weight: Weight of the first convolution.
        training: Whether the model is in training mode.
    """
    if training or not onednn.X86 or image.device.type != "cpu":
        return image
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return image
    if "channels_last" in DEFAULT_CFG_DICT and not weight.is_contiguous(memory_format=CHANNELS_LAST):
        return image
    return image.contiguous(memory_format=CHANNELS_LAST)


def multiply(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Product `a * b`, stored in `a` unless it is recorded."""
    return a * b if _is_recording() else a.mul_(b)


def add(x: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    """Sum `x + branch`, stored in `branch` unless it is recorded."""
    return x + branch if _is_recording() else branch.add_(x)


def _is_recording() -> bool:
    """Whether autograd or a tracer records operators, which then must not change their operands.

    Elsewhere they may: on a CPU, to allocate another map takes longer than a sum or product. Tracers count even where
    gradients are off, as NCNN's pnnx traces once with and once without gradients and compares the two graphs.
    """
    return torch.is_grad_enabled() or torch.jit.is_tracing()
