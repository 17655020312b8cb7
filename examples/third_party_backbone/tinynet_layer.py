"""A layer of your own: any module that says how many channels it returns."""

import torch
from torch import nn

from yolo_starnet import hookimpl


class ChannelGate(nn.Module):
    """Squeeze and excitation (arXiv 1709.01507): a factor for each channel. B x c x H x W to the same shape."""

    def __init__(self, c1: int, reduction: int = 16) -> None:
        """Build it for `c1` input channels; `reduction` is the first argument of the row."""
        super().__init__()
        hidden = max(c1 // reduction, 8)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.excite = nn.Sequential(nn.Conv2d(c1, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, c1, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale each channel."""
        return x * self.excite(self.squeeze(x))

    @staticmethod
    def out_channels(c1: int, *_: object) -> int:
        """Return as many channels as it gets."""
        return c1


@hookimpl
def register_layers(register):
    """Register it under the name of its class."""
    register(ChannelGate)
