"""Where a neck joins an upsampled map with another, a fused model convolves it first and upsamples afterwards.

A 1 x 1 convolution of an upsampled map is the upsampled map of its convolution, and costs four times as much. A
convolution of two maps side by side is the sum of one of each. So the result is the same, and neither the large map nor
the two side by side are ever written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from ultralytics.nn import modules
from ultralytics.nn.modules import C2f, Concat, Conv
from ultralytics.utils.torch_utils import fuse_conv_and_bn

from ..model_yaml import strides

_FORWARDS = {C2f.forward, getattr(modules, "A2C2f", C2f).forward}
"""What a block may do that is changed: call `cv1` with its input, and use the input for nothing else."""
SIZE = 64
"""Height and width in pixels of the image that tells the channels of each map."""


class JoinedConv(nn.Module):
    """A 1 x 1 convolution of two maps, one of which it upsamples.

    Maps of B x c1 x H x W and B x c2 x H/2 x W/2, in either order, become one of B x c x H x W.
    """

    def __init__(self, conv: Conv, channels: Sequence[int], upsampled: int, upsample: nn.Module) -> None:
        """Split a convolution by its input.

        Args:
            conv: The convolution of both maps side by side, with BatchNorm and activation.
            channels: The channels of each map.
            upsampled: The index of the map that `upsample` makes larger.
            upsample: What upsamples it, by repeating each place.
        """
        super().__init__()
        whole = fuse_conv_and_bn(conv.conv, conv.bn)
        self.convs = nn.ModuleList()
        for index, weight in enumerate(whole.weight.data.split([*channels], 1)):
            part = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=index != upsampled).to(weight)
            part.weight.data = weight.contiguous()
            if part.bias is not None:  # where there are no more places than needed
                part.bias.data = whole.bias.data
            self.convs.append(part)
        self.upsampled, self.upsample, self.act = upsampled, upsample, conv.act
        self.requires_grad_(False)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Convolve each map, upsample the small one, and activate the sum."""
        parts: list[Any] = [conv(x) for conv, x in zip(self.convs, maps)]
        parts[self.upsampled] = self.upsample(parts[self.upsampled])
        return self.act(parts[0] + parts[1])


def join(network: Any) -> None:
    """Let the blocks of a neck take the maps that were upsampled and concatenated for them.

    The rows `Upsample` and `Concat` stay in the list, so that no row gets another number, and pass on what they get.

    Args:
        network: A model of Ultralytics that is about to be fused. Blocks of other kinds than `C2f` and `A2C2f` stay as
            they are, and so do those whose maps another row takes, too.
    """
    rows = list(network.model)
    readers = {row.i: [other for other in rows if row.i in strides.sources(other)] for row in rows}
    joins = []
    for concat in rows:
        sources, taken_by = strides.sources(concat), readers[concat.i]
        repeated = [n for n, source in enumerate(sources) if _repeats(rows[source]) and readers[source] == [concat]]
        if type(concat) is Concat and concat.d == 1 and len(sources) == 2 and len(repeated) == len(taken_by) == 1:
            joins += [(concat, block, sources, repeated[0]) for block in taken_by if _fits(block)]
    if not joins:
        return
    channels = _channels(network, {source for *_, sources, _ in joins for source in sources})
    for concat, block, sources, small in joins:
        upsample = rows[sources[small]]
        block.cv1 = JoinedConv(block.cv1, [channels[source] for source in sources], small, upsample)
        (sources[small],) = strides.sources(upsample)
        block.f = sources
        network.save = sorted({*network.save, *sources})
        for row in (upsample, concat):
            network.model[row.i] = _passing_on(row)


def _repeats(row: Any) -> bool:
    """Whether a row makes a map larger by repeating each place."""
    return isinstance(row, nn.Upsample) and row.mode == "nearest"


def _fits(block: Any) -> bool:
    """Whether all that a block does with its input is a plain 1 x 1 convolution with a BatchNorm."""
    # A convolution that is trained for INT8 (QAT) is of another type.
    return (
        type(block).forward in _FORWARDS
        and getattr(block, "gamma", None) is None  # A2C2f's factor of what it adds to its input
        and type(block.cv1) is Conv
        and type(block.cv1.conv) is nn.Conv2d
        and block.cv1.conv.kernel_size == block.cv1.conv.stride == (1, 1)
        and hasattr(block.cv1, "bn")
    )


def _channels(network: Any, rows: set[int]) -> dict[int, int]:
    """The channels of the maps that these rows return. The head is not run."""
    image = torch.zeros(1, strides.image_channels(network), SIZE, SIZE)
    outputs = strides.run_model(network, image, head=False)
    return {row: outputs[row].shape[1] for row in rows}


def _passing_on(row: Any) -> Any:
    """What stands in place of a row that is not needed any more."""
    passing: Any = nn.Identity()
    passing.i, passing.f, passing.type, passing.np = row.i, -1, "torch.nn.modules.linear.Identity", 0
    return passing
