"""The measurements of accuracy.py as a page of every run, and as a table and a picture for users."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from accuracy_picture import REFERENCE, picture, readme_picture
from markdown_table import table
from yolo_starnet import backbones
from yolo_starnet.errors import ConfigError
from yolo_starnet.model_yaml import names

Row = dict[str, str]
"""A line of the CSV, by column."""
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CSV = RESULTS / "accuracy.csv"
GUIDE = ROOT / "docs" / "accuracy.md"
"""The page for users; the table between its two marks is written here."""
MARKS = ("<!-- table: written by benchmarks/accuracy.py -->\n\n", "\n<!-- end of table -->")
SETS = {"bccd": "blood cells", "facemask": "face masks", "shapes-hard": "drawn shapes"}
RECIPE = "musgd-0.01+warmup_bias_lr=0.0+momentum=0.9"
"""The data sets and the recipe that users see, by their names in the CSV."""
OTHER = {"auto": "the three sets under AdamW"}
"""A further recipe, which users see in one column."""
METRICS = ("mAP50", "mAP50-95")
PLATEAU = 5
"""Epochs at the end whose mean is the plateau."""
HEAD = f"""# Accuracy: every run

Written by `benchmarks/accuracy.py`. Advice for users is in [docs/accuracy.md](../../docs/accuracy.md); the models that
cannot be loaded by name are explained in [HISTORY.md](../HISTORY.md).

**Limits**: every model is trained from scratch, without weights from ImageNet or COCO, in a short training on a small
data set, all with the same recipe. This ranks models under these conditions and says little about long trainings and
fine-tuning. Differences smaller than the spread, or from one seed, mean nothing.

mAP50 and mAP50-95 are those of the epoch with the best mAP50-95, measured on the images that this epoch was chosen by.
They are means over the seeds, ± half of the distance from the worst to the best. The plateau is the mean mAP50-95 of
the last {PLATEAU} epochs. Parameters and GFLOPs are at 80 classes and 640 x 640 pixels. Time is a forward pass, fused,
channels-last, of one image of 640 x 640 on one thread of a CPU, relative to YOLO11n: the median of rounds in which
each model runs twice and the second run counts.
"""


def write(rows: Sequence[Row]) -> None:
    """Write the CSV, the page of every run, and the table and the picture for users."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with CSV.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (RESULTS / "accuracy.md").write_text(page(rows), encoding="utf-8")
    models = for_users(rows)
    if models:
        GUIDE.write_text(_with_table(GUIDE.read_text(encoding="utf-8"), models), encoding="utf-8")
        picture(points(models)).savefig(GUIDE.with_suffix(".png"), dpi=130)
        readme_picture(means(models)).savefig(GUIDE.with_name("readme.png"), dpi=130)
    print(f"wrote {CSV}, accuracy.md beside it, the table and the picture of {GUIDE}, and the picture of README.md")


def read(file: Path) -> list[Row]:
    """The rows of a CSV file, none where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def from_scratch(data: str) -> dict[str, float]:
    """The mAP50-95 of each model that was trained on a set by `RECIPE`, the mean over its seeds."""
    return {model: _spread(runs, "mAP50-95")[0] for model, runs in _by("model", _of(read(CSV), data)).items()}


def page(rows: Sequence[Row]) -> str:
    """The text of results/accuracy.md: a table for each data set and recipe, a row for each model."""
    timed = "; ".join(sorted({r["ms_device"] for r in rows} - {""}))
    lines = [HEAD, *([f"Timed on {timed}.\n"] if timed else [])]
    for data, of_data in _by("data", rows).items():
        # Low enough for most models to reach it, high enough to tell them apart.
        target = int(0.8 * max(_plateau(r) for r in of_data) * 20) / 20
        heads = "model", "params", "GFLOPs", "time", "mAP50", "mAP50-95", f"epochs to {target:.2f}", "plateau", "seeds"
        for recipe, of_recipe in _by("recipe", of_data).items():
            machines = sorted({f"{r['device']}, torch {r['torch']}, Ultralytics {r['ultralytics']}" for r in of_recipe})
            lines.append(f"## {data}, {recipe}\n\n`{of_recipe[0]['settings']}`, on {'; '.join(machines)}.\n")
            models = sorted(_by("model", of_recipe).values(), key=lambda m: -_spread(m, "mAP50-95")[0])
            lines += [*table(heads, (_cells(m, target) for m in models)), ""]
    return "\n".join(lines)


def _cells(runs: Sequence[Row], target: float) -> list[str]:
    """A row of the page: one model, all seeds."""
    curves = [_curve(r) for r in runs]
    reached = [epoch for c in curves if (epoch := next((e for e, m in enumerate(c, 1) if m >= target), 0))]
    return [
        f"`{runs[0]['model']}`",
        *_size(runs[0]),
        f"{float(runs[0]['ms_ratio']):.2f}" if runs[0]["ms_ratio"] else "",
        *(f"{m:.3f} ± {half:.3f}" if runs[1:] else f"{m:.3f}" for m, half in (_spread(runs, k) for k in METRICS)),
        f"{mean(reached):.0f}" if len(reached) == len(runs) else "never",
        f"{mean(_plateau(r) for r in runs):.3f}",
        str(len(runs)),
    ]


def for_users(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The runs of data and recipes that users see, by model; models that cannot be loaded by name are left out."""
    shown = [r for r in rows if r["data"] in SETS and r["recipe"] in (RECIPE, *OTHER) and is_loadable(r["model"])]
    return dict(sorted(_by("model", shown).items(), key=lambda item: -int(item[1][0]["parameters"])))


def is_loadable(model: str) -> bool:
    """Whether `YOLO("MODEL.yaml")` works on every installation, without a file of the user's."""
    try:
        return bool(names.stock_file(f"{model}.yaml") or names.find(f"{model}.yaml", backbones()))
    except ConfigError:
        return False


def summary(models: Mapping[str, Sequence[Row]]) -> list[str]:
    """The lines of the table for users: a row for each model, its mean mAP50-95 and seeds for each data set."""
    rows = []
    for model, runs in models.items():
        ratio = runs[0]["ms_ratio"]
        cells = [_mean_and_seeds(_of(runs, data)) for data in SETS]
        others = [_in_one_cell([_mean_and_seeds(_of(runs, data, recipe)) for data in SETS]) for recipe in OTHER]
        difference = _difference(runs, models[REFERENCE]) if model != REFERENCE else ""
        time = f"{float(ratio):.2f}" if ratio else ""
        rows.append([f"`{model}.yaml`", *_size(runs[0]), time, *cells, difference, *others])
    heads = ("model", "parameters", "GFLOPs", "time", *SETS.values(), "to YOLO11n", *OTHER.values())
    return table(heads, rows)


def _of(runs: Sequence[Row], data: str, recipe: str = RECIPE) -> list[Row]:
    return [r for r in runs if r["data"] == data and r["recipe"] == recipe]


def _difference(runs: Sequence[Row], reference: Sequence[Row]) -> str:
    """The mean difference of mAP50-95 over the data sets, and half of the distance between its extremes by seed.

    Only where both have runs of every data set; the extremes are of seeds that both have.
    """
    of_sets = [(_of(runs, data), _of(reference, data)) for data in SETS]
    if not all(own and other for own, other in of_sets):
        return ""
    key = "mAP50-95"
    middle = mean(_spread(own, key)[0] - _spread(other, key)[0] for own, other in of_sets)
    pairs = [
        float(a[key]) - float(b[key]) for own, other in of_sets for a in own for b in other if a["seed"] == b["seed"]
    ]
    return f"{middle:+.3f}" + (f" ± {(max(pairs) - min(pairs)) / 2:.3f}" if pairs[1:] else "")


def points(models: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, tuple[float, float]]]:
    """The points of the picture: for each data set and model, its relative time and its mean mAP50-95."""
    return {
        title: {
            model: (float(runs[0]["ms_ratio"]), _spread(shown, "mAP50-95")[0])
            for model, runs in models.items()
            if runs[0]["ms_ratio"] and (shown := _of(runs, data))
        }
        for data, title in SETS.items()
    }


def means(models: Mapping[str, Sequence[Row]]) -> dict[str, tuple[float, float]]:
    """Relative time and the mean of all data sets, for each model that was trained on all of them."""
    of_sets = [*points(models).values()]
    complete = [model for model in models if all(model in found for found in of_sets)]
    return {m: (of_sets[0][m][0], mean(found[m][1] for found in of_sets)) for m in complete}


def _with_table(text: str, models: Mapping[str, Sequence[Row]]) -> str:
    """A page with the table between the marks renewed."""
    before, _, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not end:
        raise ValueError(f"{GUIDE} lacks the marks {MARKS} around its table; put them back")
    return "".join([before, MARKS[0], "\n".join(summary(models)), "\n", end, after])


def _size(row: Row) -> tuple[str, str]:
    return f"{int(row['parameters']) / 1e6:.2f} M", f"{float(row['gflops']):.1f}"


def _in_one_cell(values: Sequence[str]) -> str:
    return " / ".join(value or "-" for value in values) if any(values) else ""


def _mean_and_seeds(runs: Sequence[Row]) -> str:
    return f"{_spread(runs, 'mAP50-95')[0]:.3f} ({len(runs)})" if runs else ""


def _spread(runs: Sequence[Row], key: str) -> tuple[float, float]:
    """Mean over the seeds, and half of the distance from the worst to the best."""
    values = [float(r[key]) for r in runs]
    return mean(values), (max(values) - min(values)) / 2


def _curve(row: Row) -> list[float]:
    return [float(m) for m in row["curve"].split()]


def _plateau(row: Row) -> float:
    return mean(_curve(row)[-PLATEAU:])


def _by(key: str, rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups
