"""Options that all StarNets share: range checks, channels by width, stochastic depth, kernel and activation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, TypeGuard

from torch import nn

MOST_WIDTH = 8
"""The largest width, over five times that of scale x. A larger one is a slip, and its weights fit no memory."""
MOST_RATIO = 16
"""The largest `mlp_ratio`; the published networks have 3 and 4."""
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU}
"""The values of `act`."""
KERNELS = (3, 5, 7)
"""The values of `kernel`."""


class Form(NamedTuple):
    """The options that fit a network to a chip. By default, they change nothing."""

    kernel: int = 7
    """Height and width of the depthwise convolutions in star blocks."""
    act: str | None = None
    """The activation of every layer; None leaves each layer its own."""

    def check(self) -> None:
        """Raise `ValueError` unless both values are known."""
        if type(self.kernel) is not int or self.kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(map(str, KERNELS))}, found {self.kernel!r}")
        if self.act is not None and self.act not in tuple(ACTIVATIONS):
            raise ValueError(f"act must be one of {', '.join(ACTIVATIONS)}, found {self.act!r}")

    def activate(self, level: nn.Module) -> None:
        """Set every activation of a level to `act`."""
        for layer in level.modules() if self.act else ():
            for name, child in layer.named_children():
                if isinstance(child, tuple(ACTIVATIONS.values())):
                    setattr(layer, name, ACTIVATIONS[str(self.act)]())


def check_common(width: object, drop_path_rate: object, mlp_ratio: object) -> None:
    """Check the three options that every StarNet has.

    Raises:
        ValueError: An option is not a number or out of range.
    """
    check_positive("width", width, MOST_WIDTH)
    if not _is_number(drop_path_rate) or not 0 <= drop_path_rate < 1:
        raise ValueError(f"drop_path_rate must be a number of at least 0 and below 1, found {drop_path_rate!r}")
    check_at_most("mlp_ratio", whole("mlp_ratio", mlp_ratio, 1), MOST_RATIO)


def check_positive(option: str, value: object, most: float = math.inf) -> None:
    """Raise `ValueError` unless the value of an option is a number above 0 and not above `most`."""
    if not _is_number(value) or value <= 0:
        raise ValueError(f"{option} must be a number above 0, found {value!r}")
    check_at_most(option, value, most)


def check_at_most(option: str, value: float, most: float) -> None:
    """Raise `ValueError` if the value of an option is above `most`."""
    if value > most:
        raise ValueError(f"{option} must be at most {most}, found {value!r}")


def whole(option: str, value: object, least: int, most: float = math.inf) -> int:
    """The value of an option, a whole number from `least` to `most`; `ValueError` for any other."""
    if not _is_number(value) or value != int(value) or not least <= value <= most:
        limits = f"from {least} up" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{option} must be a whole number {limits}, found {value!r}")
    return int(value)


def whole_per_stage(option: str, values: object, least: int, most: int) -> list[int]:
    """The values of an option, a whole number from `least` to `most` for each of the four stages; else `ValueError`."""
    if not isinstance(values, Sequence) or len(values) != 4:
        raise ValueError(f"{option} must be four whole numbers, for P2 to P5, found {values!r}")
    numbers = [whole(f"{option}[{i}]", value, least) for i, value in enumerate(values)]
    for i, number in enumerate(numbers):
        check_at_most(f"{option}[{i}]", number, most)
    return numbers


def drop_path_rates(last: float, depths: Sequence[int]) -> list[list[float]]:
    """Rates of stochastic depth, which rise linearly over all blocks from 0 at the first to `last`.

    Args:
        last: Rate of the last block.
        depths: Blocks per stage.

    Returns:
        The rates of each stage, one per block; no rates at all where `last` is 0.
    """
    if not last:
        return [[] for _ in depths]
    rates = [last * i / max(sum(depths) - 1, 1) for i in range(sum(depths))]
    return [rates[end - depth : end] for end, depth in zip(accumulate(depths), depths)]


def make_divisible(value: int, divisor: int = 8) -> int:
    """Round half up to a multiple of `divisor` that is not below `divisor` nor below 90 % of `value`.

    Source: `_make_divisible` of the MobileNets, as in the reference code.
    """
    rounded = max(divisor, (value + divisor // 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -math.inf < value < math.inf
