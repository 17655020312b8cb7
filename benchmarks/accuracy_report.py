"""What accuracy.py has measured, as a page and a picture: of rows as its CSV holds them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

Row = dict[str, str]
METRICS = ("mAP50", "mAP50-95")
PLATEAU = 5
"""Epochs at the end whose mean is the plateau."""
HEAD = f"""# Accuracy

Written by `benchmarks/accuracy.py`. **Its limits**: every model is trained from scratch, without weights from ImageNet
or COCO, in a short training on a small data set, all by the same recipe. This ranks models under these conditions and
says little of long trainings and of fine-tuning. What differs by less than the spread, or rests on one seed, is no
difference.

mAP50 and mAP50-95 are those of the epoch with the best mAP50-95, found on the images that it was chosen by; means over
the seeds, ± half of the distance from the worst to the best. The plateau is the mean mAP50-95 of the last {PLATEAU}
epochs. Parameters and GFLOPs are at 80 classes and 640 x 640 pixels. Time is a forward pass, fused, channels-last, of
one image of 640 x 640 on one thread of a CPU, relative to YOLO11n: the median of rounds in which each model runs twice
and the second run counts.
"""


def page(rows: Sequence[Row]) -> str:
    """The text of accuracy.md."""
    timed = "; ".join(sorted({r["ms_device"] for r in rows} - {""}))
    lines = [HEAD, *([f"Timed on {timed}.\n"] if timed else [])]
    lines.append("![mAP50-95 against time, GFLOPs and parameters](accuracy.png)\n")
    for (data,), of_data in _group(rows, "data").items():
        # Low enough for most to get there, high enough to tell them apart.
        target = int(0.8 * max(_plateau(r) for r in of_data) * 20) / 20
        heads = "model", "params", "GFLOPs", "time", "mAP50", "mAP50-95", f"epochs to {target:.2f}", "plateau", "seeds"
        for (recipe,), of_recipe in _group(of_data, "recipe").items():
            machines = sorted({f"{r['device']}, torch {r['torch']}, Ultralytics {r['ultralytics']}" for r in of_recipe})
            lines.append(f"## {data}, {recipe}\n\n`{of_recipe[0]['settings']}`, on {'; '.join(machines)}.\n")
            lines += [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
            models = sorted(_group(of_recipe, "model").values(), key=lambda m: -_spread(m, "mAP50-95")[0])
            lines += [f"| {' | '.join(_cells(m, target))} |" for m in models] + [""]
    return "\n".join(lines)


def _cells(runs: Sequence[Row], target: float) -> list[str]:
    """A line of the table: one model, all seeds."""
    first, curves = runs[0], [_curve(r) for r in runs]
    reached = [epoch for c in curves if (epoch := next((e for e, m in enumerate(c, 1) if m >= target), 0))]
    return [
        f"`{first['model']}`",
        f"{int(first['parameters']) / 1e6:.2f} M",
        f"{float(first['gflops']):.1f}",
        f"{float(first['ms_ratio']):.2f}" if first["ms_ratio"] else "",
        *(f"{m:.3f} ± {half:.3f}" if runs[1:] else f"{m:.3f}" for m, half in (_spread(runs, k) for k in METRICS)),
        f"{mean(reached):.0f}" if len(reached) == len(runs) else "never",
        f"{mean(_plateau(r) for r in runs):.3f}",
        str(len(runs)),
    ]


def picture(rows: Sequence[Row]) -> Figure:
    """For each data set mAP50-95 against time, GFLOPs and parameters: a colour for each model, a mark for a recipe."""
    sets, models, recipes = (list(dict.fromkeys(r[key] for r in rows)) for key in ("data", "model", "recipe"))
    colours = dict(zip(models, colormaps["tab10" if len(models) <= 10 else "tab20"].colors * len(models)))
    marks = dict(zip(recipes, "os^Dv*PXdph<>" * len(recipes)))
    figure = Figure(figsize=(15, 5 * len(sets) + 0.2 * len(models)), layout="constrained")
    grid = figure.subplots(len(sets), 3, squeeze=False, sharey="row")
    costs = {
        "ms": (1, "CPU milliseconds at 640 px"),
        "gflops": (1, "GFLOPs"),
        "parameters": (1e-6, "million parameters"),
    }
    for axes, ((data,), of_data) in zip(grid, _group(rows, "data").items()):
        axes[0].set_ylabel(f"mAP50-95 on {data}")
        for axis, (cost, (unit, label)) in zip(axes, costs.items()):
            points = []
            for (model, recipe), runs in _group([r for r in of_data if r[cost]], "model", "recipe").items():
                x, (y, half) = unit * float(runs[0][cost]), _spread(runs, "mAP50-95")
                axis.errorbar(x, y, half, color=colours[model], marker=marks[recipe], capsize=3, markersize=7)
                points.append((x, y))
            front = pareto(points)
            axis.plot([x for x, _ in front], [y for _, y in front], color="0.6", zorder=0, drawstyle="steps-post")
            axis.set_xlabel(label)
            axis.grid(alpha=0.3)
    handles = [Line2D([], [], color=colours[m], marker="o", ls="", label=m) for m in models]
    handles += [Line2D([], [], color="k", mfc="w", marker=marks[r], ls="", label=r) for r in recipes]
    handles.append(Line2D([], [], color="0.6", label="Pareto front"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def pareto(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, value) for which no other has at least the value at no more cost, from the cheapest up."""
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return front


def _spread(runs: Sequence[Row], key: str) -> tuple[float, float]:
    """Mean over the seeds, and half of the distance from the worst to the best."""
    values = [float(r[key]) for r in runs]
    return mean(values), (max(values) - min(values)) / 2


def _curve(row: Row) -> list[float]:
    return [float(m) for m in row["curve"].split()]


def _plateau(row: Row) -> float:
    return mean(_curve(row)[-PLATEAU:])


def _group(rows: Iterable[Row], *keys: str) -> dict[tuple[str, ...], list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[k] for k in keys)].append(row)
    return groups
