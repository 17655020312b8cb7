"""Reports a comparison: a table in Markdown, a CSV and a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from ultralytics.utils import RUNS_DIR
from ultralytics.utils.files import increment_path

from . import compare_picture
from .compare import Comparison, Row


def table(comparison: Comparison) -> str:
    """The comparison as a table in Markdown; the ratio is the inference time divided by that of the first model."""
    columns = ["model", "parameters (M)", "GFLOPs", "inference (ms)", "quartiles", "ratio", "whole predict (ms)"]
    columns += ["memory (MB)", *([comparison.metric] if comparison.metric else [])]
    first = comparison.rows[0].inference
    lines = [_line(columns), "| --- " * len(columns) + "|"]
    lines += [_line(_cells(row, first)[: len(columns)]) for row in comparison.rows]
    return "\n".join([*lines, "", comparison.conditions])


def write(comparison: Comparison, memory: bool = False) -> Path:
    """Write compare.csv, compare.md and compare.png into a new folder; `memory` adds a panel to the picture.

    Returns:
        The folder.
    """
    folder = Path(increment_path(RUNS_DIR / "compare", mkdir=True))
    with (folder / "compare.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([Row._fields, *comparison.rows])
    (folder / "compare.md").write_text(table(comparison) + "\n", encoding="utf-8")
    compare_picture.write(comparison, folder / "compare.png", memory)
    return folder


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row, first: float) -> list[str]:
    """The cells of one row of the table, accuracy last. `first` is the inference time of the first model."""
    return [
        row.model,
        _or_dash(row.parameters and row.parameters / 1e6, ".2f"),
        _or_dash(row.gflops, ".1f"),
        f"{row.inference:.1f}",
        f"{row.low:.1f} to {row.high:.1f}",
        f"{row.inference / first:.2f}",
        f"{row.whole:.1f}",
        f"{row.memory:.0f}",
        _or_dash(row.accuracy, ".3f"),
    ]


def _or_dash(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
