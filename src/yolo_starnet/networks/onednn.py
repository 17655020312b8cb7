"""Convolutions of a fused model on x86 CPUs by oneDNN, with packed weights and one following operation included.

PyTorch packs the weights anew in every call, and a product, sum or activation reads and writes a map again. The
operators here do neither. torch.compile chooses the same ones for such layers.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

X86 = platform.machine() in {"x86_64", "AMD64"} and torch.backends.mkldnn.is_available()


class Activation(NamedTuple):
    """An activation as the arguments of `mkldnn::_convolution_pointwise`."""

    attr: str
    scalars: list[float]
    algorithm: str


ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.Identity: Activation("none", [], ""),
    nn.ReLU: Activation("relu", [], ""),
    nn.ReLU6: Activation("hardtanh", [0.0, 6.0], ""),
    nn.SiLU: Activation("swish", [], ""),
}
"""The activations that a convolution can include."""
NOTHING_AFTER_BINARY: dict[str, Any] = {
    "alpha": None,
    "unary_attr": None,
    "unary_scalars": [],
    "unary_algorithm": None,
}
"""The arguments of `mkldnn::_convolution_pointwise.binary` for neither a factor nor an activation of the result."""


class Packed(NamedTuple):
    """Weights of a convolution in oneDNN's order, and what they were packed from."""

    key: tuple[Any, ...]
    packed: torch.Tensor
    plain: torch.Tensor
    """Kept alive, so that no other tensor gets the address in `key`."""


_packed: WeakKeyDictionary[nn.Conv2d, Packed] = WeakKeyDictionary()


def fits(x: torch.Tensor, *convolutions: nn.Module) -> bool:
    """Whether `convolve` can run these convolutions on `x`.

    It takes float32 maps in channels-last format on an x86 CPU. It leaves alone what autograd, a tracer, a compiler or
    a forward hook (such as one that counts FLOPs) must see as ordinary operators.
    """
    return (
        X86
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and not any(m._forward_hooks or m._forward_pre_hooks for m in convolutions)
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
        and is_usable()
    )


def star_block(x: torch.Tensor, convolutions: Sequence[nn.Conv2d], act: type[nn.Module]) -> torch.Tensor:
    """Fused star block in five operators, B x c x H x W: x + dwconv2(g(act(f1(y)) * f2(y))) where y = dwconv(x)."""
    dwconv, f1, f2, g, dwconv2 = convolutions
    y = convolve(dwconv, x)
    y = convolve(f2, y, times=convolve(f1, y, act=act))
    return convolve(dwconv2, convolve(g, y), plus=x)


def convolve(
    conv: nn.Conv2d,
    x: torch.Tensor,
    *,
    act: type[nn.Module] = nn.Identity,
    times: torch.Tensor | None = None,
    plus: torch.Tensor | None = None,
) -> torch.Tensor:
    """Convolution of `x`, followed by an activation, a product or a sum.

    Args:
        conv: The convolution, c1 to c2 channels.
        x: B x c1 x H x W, which must pass `fits`.
        act: One of `ACTIVATIONS`, applied unless `times` or `plus` is given.
        times: Factor, B x c2 x H' x W'.
        plus: Summand, B x c2 x H' x W', unless there is a factor.
    """
    operator = torch.ops.mkldnn._convolution_pointwise
    layer: dict[str, Any] = {
        "X": x,
        "W": _pack(conv, x),
        "B": conv.bias,
        "padding": conv.padding,
        "stride": conv.stride,
        "dilation": conv.dilation,
        "groups": conv.groups,
    }
    if times is None and plus is None:
        return operator(**layer, **ACTIVATIONS[act]._asdict())
    other, operation = (plus, "add") if times is None else (times, "mul")
    return operator.binary(**layer, other=other, binary_attr=operation, **NOTHING_AFTER_BINARY)


def _pack(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """Weights in the order that suits oneDNN for inputs of the shape of `x`, kept until weights or shape change."""
    weight = conv.weight
    key = (x.shape, weight.data_ptr(), 0 if weight.is_inference() else weight._version)
    kept = _packed.get(conv)
    if kept is None or kept.key != key:
        reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
        plain = weight.detach()
        packed = reorder(plain.to_mkldnn(), conv.padding, conv.stride, conv.dilation, conv.groups, x.shape)
        kept = _packed[conv] = Packed(key, packed, plain)
    return kept.packed


@functools.cache
def is_usable() -> bool:
    """Whether the installed torch has these operators, which are not documented, and they compute what they should."""
    with torch.inference_mode():
        x = torch.linspace(-9, 9, 16 * 25).view(1, 16, 5, 5).contiguous(memory_format=torch.channels_last)
        conv = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        try:
            activated = [convolve(conv, x, act=act) for act in ACTIVATIONS]
            results = [*activated, convolve(conv, x, times=x), convolve(conv, x, plus=x)]
        except Exception:  # a release without these operators may raise anything
            return False
        y = conv(x)
        expected = [*(act()(y) for act in ACTIVATIONS), y * x, y + x]
        return all(torch.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in zip(results, expected))
