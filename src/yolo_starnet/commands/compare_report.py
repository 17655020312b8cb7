"""Reports a comparison: a table in Markdown, a CSV and a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from ultralytics.utils import RUNS_DIR
from ultralytics.utils.files import increment_path

from .compare import Comparison, Row


def table(comparison: Comparison) -> str:
    """The comparison as a table in Markdown; the ratio is the inference time divided by that of the first model."""
    columns = ["model", "parameters (M)", "GFLOPs", "inference (ms)", "quartiles", "ratio", "whole predict (ms)"]
    columns += ["memory (MB)", *([comparison.metric] if comparison.metric else [])]
    first = comparison.rows[0].inference
    lines = [_line(columns), "| --- " * len(columns) + "|"]
    lines += [_line(_cells(row, first)[: len(columns)]) for row in comparison.rows]
    return "\n".join([*lines, "", comparison.conditions])


def write(comparison: Comparison) -> Path:
    """Write compare.csv, compare.md and compare.png into a new folder and return the folder."""
    folder = Path(increment_path(RUNS_DIR / "compare", mkdir=True))
    with (folder / "compare.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([Row._fields, *comparison.rows])
    (folder / "compare.md").write_text(table(comparison) + "\n", encoding="utf-8")
    _plot(comparison, folder / "compare.png")
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


def _plot(comparison: Comparison, file: Path) -> None:
    """Plot accuracy, or GFLOPs if there is no accuracy, over milliseconds, with the quartiles as error bars."""
    from matplotlib.figure import Figure  # late, because it is slow to import; pyplot would need a display

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for row in comparison.rows:
        y = row.accuracy if comparison.metric else row.gflops
        if y is None:
            continue
        spread = [[row.inference - row.low], [row.high - row.inference]]
        axes.errorbar([row.inference], [y], xerr=spread, fmt="o", capsize=3)
        axes.annotate(Path(row.model).name, (row.inference, y), xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set(xlabel="inference, ms an image", ylabel=comparison.metric or "GFLOPs", xlim=(0, None))
    axes.margins(x=0.2, y=0.15)
    axes.set_title(comparison.conditions, fontsize=7, wrap=True)
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=150)
