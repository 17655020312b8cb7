"""The pictures of docs/accuracy.md and README.md: mAP50-95 against time, each point labelled with its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

REFERENCE = "yolo11n"
"""The model that the others are compared with."""
RECOMMENDED = "yolo11n-starnet_fit"
README = {REFERENCE: "YOLO11n", "yolo26n": "YOLO26n", RECOMMENDED: RECOMMENDED}
"""The models of the README's picture, with their labels."""
SETTING = "40 epochs from scratch at 256 pixels, MuSGD"
TIME = "time of a forward pass on one CPU thread, YOLO11n = 1  (left is faster)"
COLOURS = {RECOMMENDED: "#d94801"}
OTHERS = "#525252"


def picture(points: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """Draw (relative time, mAP50-95) of every model, a panel for each data set.

    Args:
        points: For each data set, the point of each model.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, (title, of_set) in zip(figure.subplots(1, len(points)), points.items()):
        for model, point in of_set.items():
            _point(axes, model, model.removeprefix("yolo11n-"), point)
        _describe(axes, title)
        axes.set_ylabel("mAP50-95  (up is better)" if axes.get_subplotspec().is_first_col() else "")
    figure.supxlabel(TIME, fontsize=10)
    figure.suptitle(SETTING, fontsize=11)
    return figure


def readme_picture(points: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw the recommended model beside stock ones; every point carries its name, so there is no legend.

    Args:
        points: (relative time, mean mAP50-95 of the data sets) of each model of `README`.
    """
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    for model, label in README.items():
        time, value = points[model]
        _point(axes, model, f"{label}\n{value:.3f}, {time:.2f} of the time", points[model])
    _describe(axes, f"Mean of three data sets, {SETTING}")
    axes.set(xlabel=TIME, ylabel="mAP50-95  (up is better)")
    return figure


def _point(axes: Axes, model: str, label: str, point: tuple[float, float]) -> None:
    colour = COLOURS.get(model, OTHERS)
    axes.plot(*point, "o", color=colour, markersize=9)
    below: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top"}
    weight = "bold" if model in COLOURS else "normal"
    axes.annotate(label, point, (0, -9), color=colour, fontweight=weight, fontsize=9, **below)


def _describe(axes: Axes, title: str) -> None:
    axes.margins(x=0.3, y=0.35)
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
