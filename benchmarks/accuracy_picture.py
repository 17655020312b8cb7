"""The picture of docs/accuracy.md: mAP50-95 against time, each point labelled with its model."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

COLOURS = ("#d94801", "#08519c")


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
    axes.set_xlabel("time of a forward pass on one CPU thread, YOLO11n = 1  (left is faster)")
    axes.set_ylabel("mAP50-95  (up is better)")
    axes.set_title("BCCD (blood cells), 40 epochs from scratch at 256 pixels", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure
