"""Layers of the kinds that people bring: a wavelet convolution, an attention, a fusion of two maps."""

import torch
from torch import nn
from ultralytics.nn.modules import Conv

from yolo_starnet import RowLayer, hookimpl


class Wavelet(nn.Module):
    """A depthwise convolution of the four Haar bands and of the map itself, as in WTConv (arXiv 2407.05848)."""

    def __init__(self, c1: int, c2: int, k: int = 5) -> None:
        super().__init__()
        haar = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]).view(4, 1, 2, 2) / 2
        self.register_buffer("haar", haar.repeat(c1, 1, 1, 1))
        self.base = nn.Conv2d(c1, c1, k, padding=k // 2, groups=c1)
        self.bands = nn.Conv2d(4 * c1, 4 * c1, k, padding=k // 2, groups=4 * c1)
        self.out = Conv(c1, c2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B x c1 x H x W to B x c2 x H x W; bands of an odd height or width are padded."""
        channels, height, width = x.shape[1:]
        even = nn.functional.pad(x, (0, width % 2, 0, height % 2))
        bands = nn.functional.conv2d(even, self.haar, stride=2, groups=channels)
        back = nn.functional.conv_transpose2d(self.bands(bands), self.haar, stride=2, groups=channels)
        return self.out(self.base(x) + back[:, :, :height, :width])

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        """What the row asks for."""
        return c2


class Squeeze(nn.Module):
    """Squeeze and excitation (arXiv 1709.01507): each channel is scaled by what the whole map says of it."""

    def __init__(self, c1: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(c1 // reduction, 8)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(c1, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, c1, 1), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B x c1 x H x W to the same shape."""
        return x * self.gate(x)

    @staticmethod
    def out_channels(c1: int, *_: object) -> int:
        """As many as go in."""
        return c1


class Merge(nn.Module):
    """A weighted sum of two maps, as in BiFPN (arXiv 1911.09070), in place of Concat."""

    def __init__(self, c1: list[int], c2: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(Conv(c, c2) for c in c1)
        self.weights = nn.Parameter(torch.ones(len(c1)))

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Two maps B x c x H x W to B x c2 x H x W."""
        share = self.weights.softmax(0)
        return sum(w * project(x) for w, project, x in zip(share, self.projections, maps))

    @staticmethod
    def out_channels(c1: list[int], c2: int) -> int:
        """What the row asks for."""
        return c2


@hookimpl
def register_layers(register):
    """Register the three."""
    register(RowLayer(Wavelet, scaled=True))
    register(Squeeze)
    register(RowLayer(Merge, inputs=2, scaled=True))
