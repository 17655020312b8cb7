"""A trained convolution behind linear adapters, and the plain convolution that computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import nn
from ultralytics.nn.modules import Conv


class Part(NamedTuple):
    """Some of the channels that enter a kept row.

    Attributes:
        trained: How many they are in the trained model.
        new: How many they are in the new model.
        row: The row of the trained model that they come from if it was replaced, else -1.
        layer: The layer of the new model that takes the place of that row, else -1.
        exact: Whether the layer has to give the same feature maps as the row, so that no adapter is needed.
    """

    trained: int
    new: int
    row: int = -1
    layer: int = -1
    exact: bool = False

    @property
    def is_replaced(self) -> bool:
        """Whether they come from the new backbone."""
        return self.layer >= 0


class AdaptedConv2d(nn.Module):
    """A trained convolution whose input comes from a new backbone: B x c1 x H x W to B x c2 x H' x W'.

    An adapter, a 1 x 1 convolution, brings the channels of each new level to those of the trained one.
    """

    variance: torch.Tensor

    def __init__(self, conv: nn.Conv2d, parts: Sequence[Part], norm: nn.BatchNorm2d | None = None) -> None:
        """Build the adapters.

        Args:
            conv: The trained convolution.
            parts: The parts of its input, in the order of its channels.
            norm: The BatchNorm that follows it.
        """
        super().__init__()
        self.conv = conv
        self._parts = [tuple(part) for part in parts]  # so that a checkpoint holds no class but modules
        # A bias becomes a shift of the output. It needs a place, and no padded border, where the input is zero.
        bias = (norm is not None or conv.bias is not None) and not any(conv.padding)
        self.adapters = nn.ModuleDict(
            {
                str(i): nn.Conv2d(part.new, part.trained, 1, bias=bias)
                for i, part in enumerate(parts)
                if part.is_replaced and not part.exact
            }
        )
        variance = norm.running_var if norm else None
        self.register_buffer("variance", torch.ones(conv.out_channels) if variance is None else variance.clone())

    @property
    def parts(self) -> list[Part]:
        """The parts of the input."""
        return [Part._make(part) for part in self._parts]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Adapt each part, then convolve."""
        parts = x.split([part.new for part in self.parts], 1)
        return self.conv(torch.cat([self.adapt(i, part) for i, part in enumerate(parts)], 1))

    def adapt(self, index: int, part: torch.Tensor) -> torch.Tensor:
        """Bring a part of the input to the channels of the trained model."""
        return self.adapters[str(index)](part) if str(index) in self.adapters else part

    def error(self, index: int, part: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        """Squared error in the output that a part of the input causes, in units of the output's variance.

        Args:
            index: Index of the part.
            part: Its new feature map, B x new channels x H x W.
            trained: Its feature map in the trained model, B x trained channels x H x W.

        Returns:
            The mean over the channels of the output, B x 1 x H' x W'.
        """
        weight = self._weights()[index].detach()  # what was trained stays
        difference = self.adapt(index, part) - trained
        output = nn.functional.conv2d(difference, weight, stride=self.conv.stride, padding=self.conv.padding)
        return (output.square() / self.variance[:, None, None]).mean(1, keepdim=True)

    @torch.no_grad()
    def folded(self) -> tuple[nn.Conv2d, torch.Tensor]:
        """The convolution without adapters, and what is to be added to each channel of its output."""
        conv, weights = self.conv, list(self._weights())
        shift = torch.zeros_like(self.variance)
        for key, adapter in self.adapters.items():
            assert isinstance(adapter, nn.Conv2d)  # __init__ put no others there
            weight = weights[int(key)]
            weights[int(key)] = torch.einsum("oikl,ij->ojkl", weight, adapter.weight[:, :, 0, 0])
            if adapter.bias is not None:
                shift += weight.sum((2, 3)) @ adapter.bias
        weight = torch.cat(weights, 1)
        plain = deepcopy(conv)
        plain.in_channels, plain.weight = weight.shape[1], nn.Parameter(weight)
        return plain, shift

    def _weights(self) -> tuple[torch.Tensor, ...]:
        """The weights of the trained convolution for each part of its input."""
        return self.conv.weight.split([part.trained for part in self.parts], 1)


def fold(model: nn.Module) -> None:
    """Replace every `AdaptedConv2d` of a model by the plain convolution that computes the same, to rounding."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, AdaptedConv2d):
                plain, shift = child.folded()
                setattr(parent, name, plain)
                if isinstance(parent, Conv):
                    parent.bn.running_mean -= shift  # type: ignore[operator]  # Ultralytics' BatchNorms have one
                elif plain.bias is not None:
                    plain.bias.data += shift
