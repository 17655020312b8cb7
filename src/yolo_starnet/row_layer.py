"""RowLayer: a module that any row of a model YAML may name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn


@dataclass(frozen=True)
class RowLayer:
    """A module that any row of `backbone:` or `head:` may name, by the name of its class.

    A row `[from, repeats, NAME, args]` builds `module(c1, *args)`. `c1` is the number of channels of its input. Where
    `inputs` is not 1, it is the list of the channels of all inputs. `module` has a static method
    `out_channels(c1, *args) -> int` with the same parameters. It returns the channels of the output, B x c x H x W.

    Attributes:
        module: The class.
        inputs: How many inputs it takes: a number, or the least and the most. Where it is 1, the row's `from` is an
            index and `forward` gets a tensor; where it is not, `from` is a list and `forward` gets a list of tensors.
        scaled: Whether the row's first argument is a number of output channels that follows the width and the
            `max_channels` of the model's scale, as in rows of `Conv`.
        repeats: What the row's `repeats`, scaled by depth, does: `stack` makes a sequence of as many modules;
            `argument` builds one module and passes the number on, as for `C3k2`: behind `c1`, and behind the number of
            output channels where `scaled` is set.
        packages: Packages, beside the top-level one of `module`, whose modules (`nn.Module`) a checkpoint may hold. A
            restricted load imports these and no submodule of them.
        distribution: The installed package that registered it; empty for this package. Filled in on registration.
        classes: Full names of other classes in its packages that a checkpoint may hold.
    """

    module: type[nn.Module]
    inputs: int | tuple[int, int] = 1
    scaled: bool = False
    repeats: Literal["stack", "argument"] = "stack"
    packages: tuple[str, ...] = ()
    distribution: str = ""
    classes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name in a row."""
        return self.module.__name__

    @property
    def takes_list(self) -> bool:
        """Whether it takes a list of inputs, even a list of one."""
        return self.inputs != 1

    @property
    def all_packages(self) -> set[str]:
        """The top-level packages that define the classes that a checkpoint may hold."""
        return {*self.packages, self.module.__module__.partition(".")[0]}

    def problem(self) -> str | None:
        """What makes this no valid registration, or None."""
        if not (isinstance(self.module, type) and issubclass(self.module, nn.Module)):
            return f"module must be a class derived from torch.nn.Module, found {self.module!r}"
        if not callable(getattr(self.module, "out_channels", None)):
            return f"{self.name} lacks a static method out_channels(c1, *args) that returns its output channels"
        if not _is_count(self.inputs):
            return f"inputs of {self.name} must be a number from 1 up or (least, most), found {self.inputs!r}"
        if self.repeats not in ("stack", "argument"):
            return f"repeats of {self.name} must be 'stack' or 'argument', found {self.repeats!r}"
        return None

    def check_inputs(self, source: object) -> None:
        """Check the `from` of a row.

        Raises:
            ValueError: It is no index or list of indices, or has too few or too many.
        """
        if not self.takes_list:
            if not isinstance(source, int):
                raise ValueError(f"{self.name} takes one input, so 'from' must be one index; found {source!r}")
            return
        least, most = self.inputs if isinstance(self.inputs, tuple) else (self.inputs, self.inputs)
        takes = f"{least}" if least == most else f"{least} to {most}"
        if not isinstance(source, Sequence) or not least <= len(source) <= most:
            raise ValueError(f"{self.name} takes {takes} inputs, so 'from' must be a list of {takes}; found {source!r}")

    def channels(self, args: Sequence[Any]) -> int:
        """Output channels of `module(*args)`, `args` beginning with the input channels.

        Raises:
            ValueError: `out_channels` raises, or returns no whole number above 0.
        """
        try:
            channels = self.module.out_channels(*args)  # type: ignore[attr-defined]  # checked on registration
        except Exception as error:  # the class is not ours, and the row is what the user can change
            shown = ", ".join(map(repr, args))
            raise ValueError(f"{self.name}.out_channels({shown}) failed: {type(error).__name__}: {error}") from error
        if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
            raise ValueError(f"{self.name}.out_channels returned {channels!r}, expected a whole number from 1 up")
        return channels


Registered = RowLayer | type[nn.Module]
"""What `register_layers` takes: a class alone stands for `RowLayer(class)`."""
Register = Callable[[Registered], None]


def _is_count(inputs: object) -> bool:
    numbers = inputs if isinstance(inputs, tuple) else (inputs, inputs)
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
    return whole and len(numbers) == 2 and 1 <= numbers[0] <= numbers[1]
