"""Convolutions of a fused model on an x86 CPU, their weights laid out once, and what follows each done by it.

The operators are those that torch.compile chooses for such layers. Here they cost no compiling: a product, a sum or an
activation no longer reads and writes a map of its own, and no call lays its weights out anew.
"""

from __future__ import annotations

import functools
import platform
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

X86 = platform.machine() in {"x86_64", "AMD64"} and torch.backends.mkldnn.is_available()
ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float], str]] = {
    nn.Identity: ("none", [], ""),
    nn.ReLU6: ("hardtanh", [0.0, 6.0], ""),
    nn.SiLU: ("swish", [], ""),
}
"""Those that a convolution can do itself, in the operators' words."""
_laid_out: WeakKeyDictionary[nn.Conv2d, tuple[Any, torch.Tensor, torch.Tensor]] = WeakKeyDictionary()


def fits(x: torch.Tensor, *convolutions: nn.Module) -> bool:
    """Whether `convolve` may take these on `x`: float32, channels side by side, nobody differentiates or listens."""
    return (
        X86
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and not any(m._forward_hooks or m._forward_pre_hooks for m in convolutions)  # such as those that count FLOPs
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
        and _usable()
    )


def convolve(
    conv: nn.Conv2d,
    x: torch.Tensor,
    *,
    act: type[nn.Module] = nn.Identity,
    times: torch.Tensor | None = None,
    plus: torch.Tensor | None = None,
) -> torch.Tensor:
    """Convolve `x`, B x c1 x H x W; then one of `ACTIVATIONS`, or the product with `times`, or the sum with `plus`."""
    where = (conv.padding, conv.stride, conv.dilation, conv.groups)
    operator, weight = torch.ops.mkldnn._convolution_pointwise, _lay_out(conv, x)
    other = plus if times is None else times
    if other is None:
        return operator(x, weight, conv.bias, *where, *ACTIVATIONS[act])
    return operator.binary(x, other, weight, conv.bias, *where, "add" if times is None else "mul", None, None, [], None)


def _lay_out(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """The weights in the order that oneDNN likes for inputs of this shape, kept until they or the shape change."""
    weight = conv.weight
    key = (x.shape, weight.data_ptr(), 0 if weight.is_inference() else weight._version)
    found = _laid_out.get(conv)
    if found is None or found[0] != key:
        order: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
        plain = weight.detach()
        ready = order(plain.to_mkldnn(), conv.padding, conv.stride, conv.dilation, conv.groups, x.shape)
        # The weights are kept, too, lest their address be given to others.
        found = _laid_out[conv] = (key, ready, plain)
    return found[1]


@functools.cache
def _usable() -> bool:
    """Whether the installed torch has these operators, which it does not document, and they do what is expected."""
    with torch.inference_mode():
        x = torch.linspace(-9, 9, 16 * 25).view(1, 16, 5, 5).contiguous(memory_format=torch.channels_last)
        conv = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        try:
            activated = [convolve(conv, x, act=act) for act in ACTIVATIONS]
            found = [*activated, convolve(conv, x, times=x), convolve(conv, x, plus=x)]
        except Exception:  # whatever another release raises for what it no longer has
            return False
        y = conv(x)
        expected = [*(act()(y) for act in ACTIVATIONS), y * x, y + x]
        return all(torch.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in zip(found, expected))
