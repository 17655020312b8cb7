"""The star operation as layers that any row may name: where feature maps meet, and inside a CSP block.

Sources: Ma et al., "Rewrite the Stars", CVPR 2024 (arXiv 2403.19967), for the operation; YOLO-Star
(github.com/kongbuhaja/YOLO-Star, no paper), which puts `Conv1x1(a) * b` in place of a Concat in YOLO11's neck, for the
fusion; `C2f` of ultralytics/nn/modules/block.py for the CSP block. docs/plugins.md gives their measured cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import nn
from ultralytics.nn.modules import C2f, Conv

from ..hookspecs import hookimpl
from ..row_layer import Register, RowLayer
from .starnet_fit import MLP_RATIO, FitBlock


class StarFuse(nn.Module):
    """Fuse feature maps of one size by their product: a list of B x c x H x W to B x c2 x H x W.

    Every map but the last passes a 1 x 1 convolution with BatchNorm and ReLU6, which bounds the product. The last map
    passes a 1 x 1 convolution with BatchNorm only where its channels have to change.
    """

    def __init__(self, c1: Sequence[int], c2: int = 0, add: bool = True) -> None:
        """Build the projections.

        Args:
            c1: Channels of each map.
            c2: Channels of the result; those of the last map if 0.
            add: Whether the sum of the maps is added to their product. The gradient of each map then does not vanish
                where another is zero.
        """
        super().__init__()
        c2 = self.out_channels(c1, c2)
        gates = (Conv(c, c2, act=nn.ReLU6()) for c in c1[:-1])
        last = nn.Identity() if c1[-1] == c2 else Conv(c1[-1], c2, act=False)
        self.projections = nn.ModuleList([*gates, last])
        self.add = add

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Multiply the projected maps."""
        projected = [project(x) for project, x in zip(self.projections, maps)]
        product = reduce(torch.mul, projected)
        return product + sum(projected) if self.add else product

    @staticmethod
    def out_channels(c1: Sequence[int], c2: int = 0, *_: object) -> int:
        """The channels of what `StarFuse(c1, c2)` returns."""
        return c2 or c1[-1]


class StarCSP(C2f):
    """A CSP block of star blocks, a drop-in for `C3k2` and `C2f`: B x c1 x H x W to B x c2 x H x W."""

    def __init__(self, c1: int, c2: int, n: int = 1, mlp_ratio: int = MLP_RATIO, e: float = 0.5) -> None:
        """Build a block of `n` star blocks of `e * c2` channels, whose branches are `mlp_ratio` times as wide."""
        nn.Module.__init__(self)  # not C2f's, which would build bottlenecks
        self.c = int(c2 * e)
        self.cv1 = Conv(c1, 2 * self.c)
        self.cv2 = Conv((2 + n) * self.c, c2)
        self.m = nn.ModuleList(FitBlock(self.c, mlp_ratio) for _ in range(n))

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        """The channels of what `StarCSP(c1, c2, …)` returns."""
        return c2


@hookimpl
def register_layers(register: Register) -> None:
    """Register both."""
    register(RowLayer(StarFuse, inputs=(2, 3), scaled=True))
    register(RowLayer(StarCSP, scaled=True, repeats="argument"))
