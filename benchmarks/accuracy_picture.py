"""The pictures of docs/accuracy.md and README.md: mAP50-95 against time, each point labelled with its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#d94801", "#08519c")
RECOMMENDED = "yolo11n-starnet_fit"
README = {"yolo11n": "YOLO11n", "yolo26n": "YOLO26n", RECOMMENDED: RECOMMENDED}
"""The models of the README's picture, with their labels."""
SETTING = "BCCD (blood cells), 40 epochs from scratch at 256 pixels"
TIME = "time of a forward pass on one CPU thread, YOLO11n = 1  (left is faster)"


def picture(points: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """Draw (relative time, mAP50-95) of every model; a colour for each recipe.

    Args:
        points: For each recipe, the point of each model.
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for colour, (recipe, of_recipe) in zip(COLOURS, points.items()):
        times, values = zip(*of_recipe.values()) if of_recipe else ((), ())
        axes.plot(times, values, "o", color=colour, markersize=8, label=f"trained with {recipe}")
        for model, point in of_recipe.items():
            axes.annotate(model, point, (0, 9), textcoords="offset points", ha="center", color=colour)
    axes.margins(x=0.2, y=0.12)
    _describe(axes, SETTING)
    axes.legend(loc="lower right")
    return figure


def readme_picture(points: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw the recommended model beside stock ones; every point carries its name, so there is no legend.

    Args:
        points: (relative time, mAP50-95) of each model of `README`, trained with the same recipe.
    """
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    for model, label in README.items():
        time, value = points[model]
        colour = COLOURS[0] if model == RECOMMENDED else "#525252"
        axes.plot(time, value, "o", color=colour, markersize=10)
        text = f"{label}\n{value:.3f}, {time:.2f} of the time"
        weight = "bold" if model == RECOMMENDED else "normal"
        below: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top"}
        axes.annotate(text, (time, value), (0, -12), color=colour, fontweight=weight, **below)
    axes.margins(x=0.25, y=0.35)
    _describe(axes, f"{SETTING}, MuSGD")
    return figure


def _describe(axes: Axes, title: str) -> None:
    axes.set(xlabel=TIME, ylabel="mAP50-95  (up is better)")
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
