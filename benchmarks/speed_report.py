"""The measurements of speed.py: records, their CSV, a page and a picture."""

from __future__ import annotations

import csv
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import ultralytics
from matplotlib.figure import Figure

from markdown_table import table
from speed_engines import ENGINES
from yolo_starnet.measuring import figures
from yolo_starnet.measuring.timing import quartiles

RESULTS = Path(__file__).parent / "results"
COLOURS = ["#9ecae1", "#08519c", "#fdd0a2", "#d94801", "#c7e9c0", "#238b45"]
"""A pale and a dark one for each stock model and its StarNet form."""
HEAD = """# Speed

Written by `benchmarks/speed.py`. Medians with the first and third quartile. Models take turns in one process, and the
second call of each turn counts. A ratio is that of the medians, to the stock model beside it; its quartiles are those
of the ratios round by round. Milliseconds are of a whole batch.
"""


class Conditions(NamedTuple):
    """Height and width of the image in pixels, images in a batch, threads."""

    size: int
    batch: int
    threads: int


class Record(NamedTuple):
    """The times of one model in milliseconds; median and quartiles of the ratio to the model beside it."""

    part: str
    engine: str
    size: int
    batch: int
    threads: int
    model: str
    median: float
    low: float
    high: float
    beside: str
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    rounds: int
    machine: str


def records(part: str, engine: str, conditions: Conditions, times: Mapping[str, Sequence[float]]) -> Iterator[Record]:
    """A record for each model; ratios are to the first."""
    beside, first = next(iter(times.items()))
    for model, values in times.items():
        low, median, high = quartiles(values)
        ratio: tuple[float | None, float | None, float | None] = (None, None, None)
        if model != beside:
            lower, _, upper = quartiles([a / b for a, b in zip(values, first)])
            ratio = (median / statistics.median(first), lower, upper)
        yield Record(part, engine, *conditions, model, median, low, high, beside, *ratio, len(values), machine())


def machine() -> str:
    """Processor, system and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    processor = f"{len(names)} x {names[0]}" if names else platform.processor()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, Ultralytics {ultralytics.__version__}"
    return f"{processor}, {platform.system()}, {versions}"


def save(all_records: Sequence[Record], file: Path) -> None:
    """Write the CSV."""
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows([Record._fields, *all_records])


def read(file: Path) -> list[Record]:
    """The records of a CSV, none where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as rows:
        return [_record(row) for row in csv.DictReader(rows)]


def _record(row: Mapping[str, str]) -> Record:
    values: dict[str, Any] = dict(row)
    values.update({name: int(row[name]) for name in ("size", "batch", "threads", "rounds")})
    values.update({name: float(row[name]) for name in ("median", "low", "high")})
    values.update({name: float(row[name]) if row[name] else None for name in ("ratio", "ratio_low", "ratio_high")})
    return Record(**values)


def page(all_records: Sequence[Record], titles: Mapping[str, str]) -> str:
    """The text of speed.md; `titles` says in one line what each part measures."""
    sizes = {
        name: figures.of_file(f"{name}.yaml") for name in dict.fromkeys(r.model for r in all_records) if " " not in name
    }  # else no config
    counted = "; ".join(f"{n} {f.parameters / 1e6:.2f} M, {f.gflops:.1f} GFLOPs" for n, f in sizes.items())
    machines = "; ".join(dict.fromkeys(r.machine for r in all_records))
    lines = [HEAD, f"{machines}. {counted}."]
    for part, title in titles.items():
        of_part = [r for r in all_records if r.part == part]
        if of_part:
            heads = ("", "pixels", "batch", "threads", "model", "ms", "ratio")
            lines += ["", f"## {part.capitalize()}", "", title, "", *table(heads, map(_cells, of_part))]
    return "\n".join(lines) + "\n"


def _cells(r: Record) -> list[str]:
    ratio = "" if r.ratio is None else f"**{r.ratio:.2f}** ({r.ratio_low:.2f} to {r.ratio_high:.2f})"
    times = f"{r.median:.1f} ({r.low:.1f} to {r.high:.1f})"
    return [ENGINES.get(r.engine, r.engine), str(r.size), str(r.batch), str(r.threads), r.model, times, ratio]


def picture(all_records: Sequence[Record]) -> Figure | None:
    """Bars of every model in every engine at 640 pixels, batch 1, two threads; None where nothing is measured."""
    at = {(r.engine, r.model): r for r in all_records if (r.part, *r[2:5]) == ("engines", 640, 1, 2)}
    models = list(dict.fromkeys(model for _, model in at))
    shown = [e for e in ENGINES if all((e, model) in at for model in models)]
    if not models:
        return None
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(models)
    for i, model in enumerate(models):
        bars = [at[engine, model] for engine in shown]
        spread = [[r.median - r.low for r in bars], [r.high - r.median for r in bars]]
        places = [j + i * width for j in range(len(shown))]
        axes.bar(places, [r.median for r in bars], width, yerr=spread, label=model, color=COLOURS[i], capsize=2)
    axes.set_xticks([j + 0.4 - width / 2 for j in range(len(shown))], shown)
    axes.set_ylabel("ms an image")
    axes.set_title("640 x 640 pixels, batch 1, two CPU threads; median and quartiles")
    axes.legend(ncols=3)
    return figure
