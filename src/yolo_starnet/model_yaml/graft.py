"""Stock YAML and backbone name to a YAML on that backbone. Changes nothing of Ultralytics."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ..errors import BackboneError
from ..feature_maps import HEAD_STRIDES, STRIDES

LEVELS = {stride: level for level, stride in enumerate(STRIDES)}
"""The index of each stride in an expanded backbone row: 0 for P1/2 to 4 for P5/32."""
KEEPS_CHANNELS = frozenset({"C2PSA", "C2fPSA", "PSA"})
"""Modules that return as many channels as they get, whatever their row asks for; Ultralytics asserts it."""
KEYS: dict[str, dict[str, Any]] = {"starnet_fit": {"reg_max": 1}}
"""Keys of a model YAML that go with a backbone, unless the YAML has them.

`reg_max: 1` turns DFL off, whose box branch is the largest single cost of a YOLO11n.
"""
DFL_HEADS = frozenset({"Detect", "Segment", "Pose", "OBB"})
"""Heads for which the keys are meant."""
NOTES = {"reg_max": "without DFL, the costliest part of the head; Ultralytics before 8.4 keeps 16 bins"}
"""What a written YAML says beside such a key."""
_ROW = re.compile(
    r"(?P<before>\s*-\s*\[\s*)"  # "  - ["
    r"(?P<source>-?\d+|\[[-\d,\s]*\])"  # "-1" or "[-1, 6]"
    r"(?P<rest>\s*,[^#]*\])"  # ", 1, Concat, [1]]"
    r"\s*(?:#\s*(?P<note>.*))?"  # " # cat backbone P4"
)
"""A row that has a line to itself."""


@dataclass(frozen=True)
class Graft:
    """A model on another backbone.

    Attributes:
        model: The grafted model dict.
        cut: How many rows of the original the backbone row replaces.
        kept: For each row after the backbone row, its index in the original, or None for a row that was added.
    """

    model: dict[str, Any]
    cut: int
    kept: tuple[int | None, ...]


def graft(
    model: Mapping[str, Any],
    strides: Sequence[int | None],
    backbone: str,
    args: Sequence[Any] | Mapping[str, Any] = (),
    restore: Collection[str] = KEEPS_CHANNELS,
    keys: Mapping[str, Any] | None = None,
) -> Graft:
    """Replace the rows that extract features, up to the last at P5/32, by one backbone row.

    The rows after them stay (SPPF, C2PSA, a P6 stage, …). A reference to a replaced row, also to a row inside a stage,
    becomes a reference to the level of the same stride.

    Args:
        model: A model dict as a stock YAML holds it. It is left as it is.
        strides: The stride in pixels of each row under `backbone:`, None where its output is no feature map.
        backbone: The name of a registered backbone.
        args: The arguments of its row.
        restore: Modules before which, at the end of the backbone, a 1 x 1 convolution restores the number of channels.
        keys: Keys to add to the model dict; those of `KEYS` unless given.

    Raises:
        BackboneError: The model has no P3/8 to P5/32 that a backbone could replace, or a row that stays needs a
            replaced row that is no level.
    """
    rows = [*model["backbone"], *model["head"]]
    cut = _extractor(model["backbone"], strides)
    missing = [f"P{LEVELS[stride] + 1}/{stride}" for stride in HEAD_STRIDES if stride not in strides[:cut]]
    if missing:
        raise BackboneError(f"its backbone has no {', '.join(missing)} that '{backbone}' could replace")

    # Such a module relies on the channels of the stage before it. A 1 x 1 convolution restores them.
    adapter = len(rows) > cut and rows[cut][2] in restore and rows[cut][0] in {-1, cut - 1}
    added = [[-1, 1, "Conv", [rows[cut][3][0], 1, 1]]] if adapter else []
    kept = [*added, *_kept_rows(rows, strides, cut, len(LEVELS) + adapter - cut)]
    split = len(model["backbone"]) - cut + adapter
    row = [-1, 1, backbone, dict(args) if isinstance(args, Mapping) else list(args)]
    if keys is None:
        keys = KEYS.get(backbone, {}) if rows[-1][2] in DFL_HEADS else {}
    grafted = {**keys, **model, "backbone": [row, *kept[:split]], "head": kept[split:]}
    return Graft(grafted, cut, (*[None] * adapter, *range(cut, len(rows))))


def _kept_rows(rows: Sequence[Sequence[Any]], strides: Sequence[int | None], cut: int, shift: int) -> list[list[Any]]:
    """The rows from `cut` on. Their references to replaced rows become levels, the others move by `shift`."""

    def renumber(index: int, source: int) -> int:
        target = index + source if source < 0 else source
        if target >= cut:
            return source if source < 0 else source + shift
        if source == -1:
            return source  # the first row that stays takes P5, as before
        if strides[target] not in LEVELS:
            raise BackboneError(f"row {index} {rows[index]} needs row {target} {rows[target]}, which is no level")
        return LEVELS[strides[target]]  # type: ignore[index]  # not None, by the line above

    return [
        [[renumber(i, s) for s in row[0]] if isinstance(row[0], list) else renumber(i, row[0]), *row[1:]]
        for i, row in enumerate(rows)
        if i >= cut
    ]


def _extractor(rows: Sequence[Sequence[Any]], strides: Sequence[int | None]) -> int:
    """The number of rows that extract features: up to the last at P5 that is first there or of a kind used before."""
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
        graft: The original on another backbone.
        origin: How it was made, for the first lines.
        figures: The comment of each scale, such as its parameters and GFLOPs. A model without scales has the key ''.
    """
    figures = figures or {}
    lines = [*_with_keys(head(text, origin, figures), graft.model), *_rows(text.splitlines(), graft)]
    written = "\n".join(lines) + "\n"
    if yaml.safe_load(written) == graft.model:
        return written
    # The original is laid out in another way. Its comments are lost, the model is right.
    return "\n".join(head("", origin, figures)) + "\n" + yaml.safe_dump(graft.model, sort_keys=False)


def _with_keys(lines: list[str], model: Mapping[str, Any]) -> list[str]:
    """The lines before `backbone:`, and after that of `nc` a line for each key that the original lacks."""
    known = yaml.safe_load("\n".join(lines)) or {}
    added = [f"{key}: {model[key]} # {note}" for key, note in NOTES.items() if key in model and key not in known]
    place = next((i for i, line in enumerate(lines, 1) if line.startswith("nc:")), len(lines))
    return [*lines[:place], *added, *lines[place:]]


def head(text: str, origin: str, figures: Mapping[str, str]) -> list[str]:
    """The lines before `backbone:`: the licence, the origin, and the settings with the new figures.

    Args:
        text: The text of the original.
        origin: How the new model was made.
        figures: The comment of each scale. A model without scales has the key ''.
    """
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
    """The lines from `backbone:` on, where each row of the original has a line to itself; else none."""
    start = next((i for i, line in enumerate(lines) if line.startswith("backbone:")), len(lines))
    matches = [_ROW.fullmatch(line) for line in lines]
    row_lines = [i for i in range(start, len(lines)) if matches[i]]
    if len(row_lines) != graft.cut + sum(index is not None for index in graft.kept):
        return []
    index_of = {line: index for index, line in enumerate(row_lines)}
    first, last = row_lines[0], row_lines[graft.cut - 1]  # of the rows that the backbone row stands for
    after = [
        line if (row := matches[i]) is None else _kept_row(row, index_of[i], graft)
        for i, line in enumerate(lines[last + 1 :], last + 1)
    ]
    return [*lines[start:first], *_new_rows(lines[first], graft), *after]


def _new_rows(first: str, graft: Graft) -> list[str]:
    """The line of the backbone row, and that of the convolution after it, if any, indented like the `first` row."""
    before = first[: first.index("[") + 1]
    (_, _, name, arguments), *kept = graft.model["backbone"]
    levels = ", ".join(f"{level}-P{level + 1}/{stride}" for stride, level in LEVELS.items())
    lines = [f"{before}-1, 1, {name}, {json.dumps(arguments)}] # {levels}"]
    if None in graft.kept:
        lines.append(f"{before}-1, 1, Conv, {kept[0][3]}] # {len(LEVELS)} to the channels of the next")
    return lines


def _kept_row(row: re.Match[str], index: int, graft: Graft) -> str:
    """The line of a row that stays, with its new `from` and its new index.

    Args:
        row: The original line.
        index: The index of the row in the original.
        graft: What the original became.
    """
    position = graft.kept.index(index)
    source = [*graft.model["backbone"][1:], *graft.model["head"]][position][0]
    # The original's note starts with the old index, or has it in brackets.
    note = re.sub(rf"^{index}\b|(?<=\(){index}(?=\))", "", row["note"] or "").replace(" ()", "").strip(" ,")
    separator = "" if note.startswith("-") or not note else " "
    return f"{row['before']}{source}{row['rest']} # {position + len(LEVELS)}{separator}{note}"
