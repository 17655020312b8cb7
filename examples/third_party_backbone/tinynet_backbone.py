"""TinyNet, an example of a backbone: a module that returns its feature maps as a list and says their channels."""

import torch
from torch import nn

from yolo_starnet import Backbone, hookimpl


class TinyNet(nn.Module):
    """An image, B x c x H x W, to four feature maps of strides 4, 8, 16 and 32."""

    def __init__(self, in_channels: int, width: float = 1.0, depth: int = 1) -> None:
        """Build a stem and four stages. The row may set both options; by default `width` follows the model scale."""
        super().__init__()
        self.width_list = [int(c * width) for c in (64, 128, 256, 512)]  # channels of P2 to P5
        self.stem = self._stage(in_channels, self.width_list[0], depth=0)
        channels = [self.width_list[0], *self.width_list]
        self.stages = nn.ModuleList(self._stage(a, b, depth) for a, b in zip(channels, channels[1:]))

    @staticmethod
    def _stage(c1: int, c2: int, depth: int) -> nn.Sequential:
        convolutions = [nn.Conv2d(c1, c2, 3, 2, 1), *(nn.Conv2d(c2, c2, 3, 1, 1) for _ in range(depth))]
        return nn.Sequential(*(m for conv in convolutions for m in (conv, nn.BatchNorm2d(c2), nn.SiLU())))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the feature maps of the four stages."""
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


@hookimpl
def register_backbones(register):
    """Register TinyNet under the name that rows and config names use."""
    register(Backbone.of_module("tinynet", TinyNet))
