"""A table in Markdown, for every report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table.

    Args:
        heads: The column titles.
        rows: The cells of each row, as many as there are titles.

    Raises:
        ValueError: A row has another number of cells than the head.
    """
    lines = [_line(heads), f"|{' --- |' * len(heads)}"]
    for row in rows:
        if len(row) != len(heads):
            raise ValueError(f"table row {list(row)} has {len(row)} cells, expected {len(heads)}: {list(heads)}")
        lines.append(_line(row))
    return lines


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
