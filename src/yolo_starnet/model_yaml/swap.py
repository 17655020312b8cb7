"""A model YAML with some of its rows on another module, references and comments kept. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ..errors import ConfigError, nearest
from ..feature_maps import STRIDES
from ..row_layer import RowLayer
from .expand import where

SECTIONS = ("backbone", "head")
_SWAP = re.compile(r"(?P<old>[\w.]+):(?P<new>[\w.]+)(?P<args>\[.*\])?")
_ROW = re.compile(r"(?P<before>\s*-\s*\[)(?P<row>[^#]*)(?P<after>\]\s*(#.*)?)")


@dataclass(frozen=True)
class Swap:
    """One module in place of another.

    Attributes:
        old: The module name in the rows that are changed.
        new: The module name that takes its place.
        args: The arguments of the new rows; None for those that the new module can take over.
    """

    old: str
    new: str
    args: list[Any] | None = None


def parse(text: str) -> list[Swap]:
    """Read `OLD:NEW` or `OLD:NEW[arguments]`, several with commas between.

    Raises:
        ConfigError: The text is no such list.
    """
    swaps = []
    for part in re.split(r",(?![^\[]*\])", text):
        match = _SWAP.fullmatch(part.strip())
        try:
            args = yaml.safe_load(match["args"] or "") if match else None
        except yaml.YAMLError:
            match = None
        if not match:
            raise ConfigError(f"swap= takes OLD:NEW or OLD:NEW[arguments], found '{part}'; as in swap=Concat:StarFuse")
        swaps.append(Swap(match["old"], match["new"], args))
    return swaps


def swap(
    model: Mapping[str, Any],
    swaps: Sequence[Swap],
    places: str,
    layers: Mapping[str, RowLayer],
    modules: Collection[str],
    backbones: Collection[str] = (),
) -> dict[str, Any]:
    """Put other modules into the rows of a model dict.

    Args:
        model: The model dict. It is left as it is.
        swaps: What takes the place of what.
        places: `head`, `backbone`, indices of built layers with commas between, or '' for all rows.
        layers: The registered layers by name.
        modules: Every other name that a row may give.
        backbones: The registered backbones. A row that names one stands for five layers.

    Raises:
        ConfigError: A name or place is unknown, no row is changed, or a row cannot feed the new module.
    """
    changed = {section: [list(row) for row in model[section]] for section in SECTIONS}
    chosen = list(_chosen(model, places, backbones))
    for given in swaps:
        if given.new not in layers and given.new not in modules:
            raise ConfigError(f"swap={given.old}:{given.new}: no module '{given.new}'{nearest(given.new, layers)}")
        rows = [(section, i) for section, i in chosen if model[section][i][2] == given.old]
        if not rows:
            names = ", ".join(sorted({model[section][i][2] for section, i in chosen}))
            raise ConfigError(f"swap={given.old}:{given.new}: no row names '{given.old}' there; the rows name {names}")
        for section, i in rows:
            row = changed[section][i]
            layer = layers.get(given.new)
            if layer:
                try:
                    layer.check_inputs(row[0])
                except ValueError as error:
                    raise ConfigError(f"{where(model, section, i)} cannot be swapped: {error}") from error
            row[2:] = [given.new, _arguments(row[3], given, layer)]
    return {**model, **changed}


def write(text: str, swapped: Mapping[str, Any], head: Sequence[str]) -> str:
    """The YAML text of a swapped model, with the comments of the original.

    Args:
        text: The text of the original.
        swapped: The model dict to write.
        head: The lines before `backbone:`.
    """
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("backbone:")), len(lines))
    rows = iter([*swapped["backbone"], *swapped["head"]])
    written = "\n".join([*head, *(_line(line, rows) for line in lines[start:])]) + "\n"
    if yaml.safe_load(written) == swapped:
        return written
    # The original does not have one row a line. A file without comments is better than a wrong one with them.
    comments = [line for line in head if line.startswith("#")]
    return "\n".join([*comments, yaml.safe_dump(dict(swapped), sort_keys=False)])


def _line(line: str, rows: Iterator[Sequence[Any]]) -> str:
    """The line of the next row where the original's holds another row; any other line as it is."""
    match = _ROW.fullmatch(line)
    row = next(rows, None) if match else None
    if not (match and row) or yaml.safe_load(f"[{match['row']}]") == row:
        return line
    return f"{match['before']}{json.dumps(row[0])}, {row[1]}, {row[2]}, {json.dumps(row[3])}{match['after']}"


def _chosen(model: Mapping[str, Any], places: str, backbones: Collection[str]) -> Iterator[tuple[str, int]]:
    """Section and index of each row that `places` names."""
    rows = [(section, i) for section in SECTIONS for i in range(len(model[section]))]
    if places in ("", *SECTIONS):
        yield from (row for row in rows if places in ("", row[0]))
        return
    if rows and model[rows[0][0]][0][2] in backbones:
        rows = [rows[0]] * len(STRIDES) + rows[1:]
    for word in places.split(","):
        if not word.strip().isdecimal() or int(word) >= len(rows):
            raise ConfigError(f"where= takes head, backbone or layer numbers from 0 to {len(rows) - 1}, found '{word}'")
        yield rows[int(word)]


def _arguments(old: Sequence[Any], given: Swap, layer: RowLayer | None) -> list[Any]:
    """The arguments of a changed row: those given, or of the old ones what the new module takes."""
    if given.args is not None:
        return given.args
    if layer is None:
        return list(old)  # one stock module for another: the user knows both
    channels_first = layer.scaled and not layer.takes_list  # a fusion takes its channels from its inputs
    return list(old[:1]) if channels_first else []
