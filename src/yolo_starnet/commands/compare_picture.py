"""A comparison as a picture: accuracy or GFLOPs over time, and over memory where that is asked for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .compare import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

DPI = 150
MARKER = 8
"""Half the side of the square around a point that no label may cover, in pixels."""
DISTANCES = (14, 30, 50, 75, 105, 140, 180, 225, 275)
"""From a point to its label, in pixels; the nearest free place is taken."""
FAR = 26
"""A label that is farther from its point, in pixels, is joined to it by a line."""


class Point(NamedTuple):
    """A model in one panel: its label, its place, and the ends of its horizontal error bar."""

    label: str
    x: float
    y: float
    low: float
    high: float


def write(comparison: Comparison, file: Path, memory: bool = False) -> None:
    """Draw a comparison into a PNG file; with `memory`, a second panel has the peak memory."""
    draw(comparison, memory).savefig(file, dpi=DPI)


def draw(comparison: Comparison, memory: bool = False) -> Figure:
    """Draw a comparison; a model without a value on the y axis is left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # late, because it is slow to import
    from matplotlib.figure import Figure  # not pyplot, which would need a display

    figure = Figure(figsize=(13 if memory else 8, 5), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    time, *second = figure.subplots(1, 1 + memory, sharey=True, squeeze=False)[0]
    rows = [(r, r.accuracy if comparison.metric else r.gflops) for r in comparison.rows]
    shown = [(row, Path(row.model).name, y) for row, y in rows if y is not None]
    panels = {time: [Point(name, r.inference, y, r.low, r.high) for r, name, y in shown]}
    panels |= {axes: [Point(name, r.memory, y, r.memory, r.memory) for r, name, y in shown] for axes in second}
    for axes, unit in zip(panels, ("inference, ms an image", "peak memory, MB")):
        _plot(axes, panels[axes])
        axes.set(xlabel=unit, xlim=(0, 1.15 * max((p.high for p in panels[axes]), default=1)))
    time.set_ylabel(comparison.metric or "GFLOPs")
    figure.suptitle(comparison.conditions, fontsize=7, wrap=True)
    canvas.draw()  # the axes are in place from here on, and so are the pixels of the points
    figure.set_layout_engine("none")
    for axes, points in panels.items():
        _label(axes, points)
    return figure


def _plot(axes: Axes, points: list[Point]) -> None:
    for index, p in enumerate(points):
        spread = [[p.x - p.low], [p.high - p.x]] if p.low < p.high else None
        axes.errorbar([p.x], [p.y], xerr=spread, fmt="o", capsize=3, color=f"C{index}")
    axes.margins(y=0.2)
    axes.grid(alpha=0.3)


def _label(axes: Axes, points: list[Point]) -> None:
    """Write each label at the nearest place where it covers no point, no error bar and no other label."""
    from matplotlib.transforms import Bbox

    taken = []
    for p in points:
        ends = axes.transData.transform([(p.low, p.y), (p.high, p.y)])
        taken.append(Bbox([ends[0] - MARKER, ends[1] + MARKER]))
    frame = axes.get_window_extent()
    for index, p in enumerate(points):
        text = axes.text(p.x, p.y, p.label, fontsize=8, ha="center", va="center", color=f"C{index}")
        size, centre = text.get_window_extent(), axes.transData.transform((p.x, p.y))
        places = _places(centre[0], centre[1], size.width + 4, size.height + 2)
        free = (b for b in places if frame.containsx(b.x0) and frame.containsx(b.x1) and _is_free(b, frame, taken))
        box = next(free, None) or size
        taken.append(box)
        data = axes.transData.inverted()
        x, y = data.transform(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
        text.set_position((x, y))
        edge = min(max(centre[0], box.x0), box.x1), min(max(centre[1], box.y0), box.y1)
        if math.dist(edge, centre) > FAR:
            end = data.transform(edge)
            axes.plot([p.x, end[0]], [p.y, end[1]], color="0.6", linewidth=0.8, zorder=0, scalex=False, scaley=False)


def _is_free(box: Bbox, frame: Bbox, taken: list[Bbox]) -> bool:
    return frame.y0 < box.y0 and box.y1 < frame.y1 and not box.count_overlaps(taken)


def _places(x: float, y: float, width: float, height: float) -> Iterator[Bbox]:
    """Boxes around a point, the nearest first: right, left, above, below, then between those."""
    from matplotlib.transforms import Bbox

    angles = (0, 180, 90, 270, 45, 135, 225, 315, 20, 160, 200, 340)
    for distance, angle in itertools.product(DISTANCES, map(math.radians, angles)):
        middle = x + math.cos(angle) * (width / 2 + distance), y + math.sin(angle) * (height / 2 + distance)
        yield Bbox.from_bounds(middle[0] - width / 2, middle[1] - height / 2, width, height)
