"""One line of the report of `doctor`."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        value: What was found.
        problem: What does not fit; '' if it fits.
        mend: The command that mends it.
    """

    name: str
    value: str = ""
    problem: str = ""
    mend: str = ""
