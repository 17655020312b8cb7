"""A stock YAML and a backbone name to a YAML on that backbone. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ..errors import BackboneError

LEVELS = {2: 0, 4: 1, 8: 2, 16: 3, 32: 4}
"""The index of each stride in an expanded backbone row."""
_KEEPS_CHANNELS = {"C2PSA", "C2fPSA", "PSA"}
"""Modules that return as many channels as they get, whatever their row asks for; Ultralytics asserts it."""
_ROW = re.compile(
    r"(?P<before>\s*-\s*\[\s*)(?P<source>-?\d+|\[[-\d,\s]*\])(?P<rest>\s*,[^#]*\])\s*(?:#\s*(?P<note>.*))?"
)


@dataclass(frozen=True)
class Graft:
    """A model on another backbone.

    Attributes:
        model: The grafted model dict.
        cut: How many rows of the original the backbone row stands for.
        kept: For each row after the backbone row, its index in the original, or None for one that was put in.
    """

    model: dict[str, Any]
    cut: int
    kept: tuple[int | None, ...]


def graft(
    model: Mapping[str, Any], strides: Sequence[int | None], backbone: str, args: Sequence[Any] | Mapping[str, Any] = ()
) -> Graft:
    """Replace the rows that extract features, up to the last at P5/32, by one backbone row.

    What follows at P5 stays (SPPF, C2PSA, a P6 stage, …), and every reference to a replaced row, also to one inside a
    stage, becomes one to the level of its stride.

    Args:
        model: A model dict as a stock YAML holds it. It is left as it is.
        strides: The stride in pixels of each row under `backbone:`, None where its output is no feature map.
        backbone: The name of a registered backbone.
        args: The arguments of its row.

    Raises:
        BackboneError: The model has no P3/8 to P5/32 that a backbone could replace, or needs a row that goes.
    """
    rows = [*model["backbone"], *model["head"]]
    cut = _extractor(model["backbone"], strides)
    missing = [f"P{LEVELS[stride] + 1}/{stride}" for stride in (8, 16, 32) if stride not in strides[:cut]]
    if missing:
        raise BackboneError(f"its backbone has no {', '.join(missing)} that '{backbone}' could replace")

    # Such a module after a stage took the channels of the stage for granted.
    adapter = len(rows) > cut and rows[cut][2] in _KEEPS_CHANNELS and rows[cut][0] in {-1, cut - 1}
    shift = len(LEVELS) + adapter - cut

    def renumber(index: int, source: int) -> int:
        target = index + source if source < 0 else source
        if target >= cut:
            return source if source < 0 else source + shift
        if source == -1:
            return source  # the first row kept, fed by P5 as before
        if strides[target] not in LEVELS:
            raise BackboneError(f"row {index} {rows[index]} needs row {target} {rows[target]}, which is no level")
        return LEVELS[strides[target]]  # type: ignore[index]  # not None, by the line above

    kept: list[list[Any]] = [
        [[renumber(i, s) for s in row[0]] if isinstance(row[0], list) else renumber(i, row[0]), *row[1:]]
        for i, row in enumerate(rows)
        if i >= cut
    ]
    origin: list[int | None] = list(range(cut, len(rows)))
    if adapter:
        kept.insert(0, [-1, 1, "Conv", [rows[cut][3][0], 1, 1]])
        origin.insert(0, None)
    split = len(model["backbone"]) - cut + adapter
    row = [-1, 1, backbone, dict(args) if isinstance(args, Mapping) else list(args)]
    return Graft({**model, "backbone": [row, *kept[:split]], "head": kept[split:]}, cut, tuple(origin))


def _extractor(rows: Sequence[Sequence[Any]], strides: Sequence[int | None]) -> int:
    """How many rows extract features: up to the last at P5 of a kind that comes earlier, or that gets there."""
    last = 0
    earlier: set[str] = set()
    for index, (row, stride) in enumerate(zip(rows, strides)):
        if stride == 32 and (row[2] in earlier or not last):
            last = index + 1
        elif stride and stride < 32:
            earlier.add(row[2])
    return last


def write(text: str, graft: Graft, origin: str, figures: Mapping[str, str] | None = None) -> str:
    """The YAML text of a graft, with the comments of the original where they still hold.

    Args:
        text: The text of the original.
        graft: What became of it.
        origin: How it came about, for the first lines.
        figures: What to say of each scale, such as its parameters and GFLOPs; the key '' is for a model without scales.
    """
    figures = figures or {}
    lines = [*_head(text, origin, figures), *_rows(text.splitlines(), graft)]
    written = "\n".join(lines) + "\n"
    if yaml.safe_load(written) == graft.model:
        return written
    # An original laid out in a way of its own: right without comments, rather than wrong with them.
    return "\n".join(_head("", origin, figures)) + "\n" + yaml.safe_dump(graft.model, sort_keys=False)


def _head(text: str, origin: str, figures: Mapping[str, str]) -> list[str]:
    """The lines before `backbone:`: the licence, where it comes from, and the settings with figures that hold."""
    before = re.split(r"^backbone:", text, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    lines = []
    for line in before:
        line = re.sub(r"(?<=model compound scaling constants),.*", "", line)
        if scale := re.match(r"\s+(\w+): \[[^\]]*\]", line):
            line = scale[0] + (f" # {figures[scale[1]]}" if scale[1] in figures else "")
        if not (line.startswith("#") and "GFLOPs" in line):
            lines.append(line)
    licence = 1 if lines and "icense" in lines[0] else 0
    lines[licence:licence] = [f"# {origin}", *([f"# {figures['']}"] if "" in figures else [])]
    return lines


def _rows(lines: Sequence[str], graft: Graft) -> list[str]:
    """The lines from `backbone:` on, where the original has a row a line."""
    start = next((i for i, line in enumerate(lines) if line.startswith("backbone:")), len(lines))
    kept = [*graft.model["backbone"][1:], *graft.model["head"]]
    found: list[str] = []
    seen = -1  # the index of the last row of the original
    for line in lines[start:]:
        row = _ROW.fullmatch(line)
        seen += row is not None
        if row and not seen:
            levels = ", ".join(f"{level}-P{level + 1}/{stride}" for stride, level in LEVELS.items())
            arguments = json.dumps(graft.model["backbone"][0][3])
            found.append(f"{row['before']}-1, 1, {graft.model['backbone'][0][2]}, {arguments}] # {levels}")
            if None in graft.kept:
                found.append(f"{row['before']}-1, 1, Conv, {kept[0][3]}] # 5 to the channels of the next")
        elif not row and not 0 <= seen < graft.cut - 1:
            found.append(line)
        elif row and seen >= graft.cut and seen in graft.kept:
            new = graft.kept.index(seen)
            note = re.sub(rf"^{seen}\b|(?<=\(){seen}(?=\))", "", row["note"] or "").replace(" ()", "").strip(" ,")
            separator = "" if note.startswith("-") or not note else " "
            index = new + len(LEVELS)
            found.append(f"{row['before']}{kept[new][0]}{row['rest']} # {index}{separator}{note}")
    return found
