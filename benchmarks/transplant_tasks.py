"""Transplant a model of every task on the built-in data: what the student keeps of the trained model.

    python benchmarks/transplant_tasks.py [TASK ...]

For each task, a stock YOLO26n is trained by the recipe of the built-in set, transplanted with the defaults of
`transplant`, and trained on for a quarter of the recipe's epochs. The main metric of each goes to
benchmarks/results/transplant_tasks.csv and .md. A task that has a row is not run again. Everything runs on one thread.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import ultralytics
from ultralytics import YOLO

import accuracy_report
from markdown_table import table
from yolo_starnet import transplant
from yolo_starnet.commands.compare import Options, compare
from yolo_starnet.demo.datasets import SETS
from yolo_starnet.tasks import TASKS

RESULTS = Path(__file__).with_name("results") / "transplant_tasks.csv"
FIELDS = ("task", "metric", "trained", "transplant", "trained on", "ultralytics", "torch")
ENDS = {"detect": "", "segment": "-seg", "classify": "-cls", "semantic": "-sem"}
"""The end of the name of a stock model; `-TASK` for the others."""
HEAD = """# Transplants of every task

Written by `benchmarks/transplant_tasks.py`: YOLO26n, trained on the built-in set of the task by its recipe, put on
`starnet_fit` without labels, and trained on for a quarter of the recipe's epochs. One seed. For depth, the metric is
delta1, the share of pixels whose distance is right within a quarter.

The row of detection is of an earlier recipe, with 256 drawings and 18 epochs. Today's has 5, and a quarter of them is
one epoch at the full rate of 0.04, in which a transplant forgets: 0.632 trained, 0.634 transplanted, 0.079 trained on.
"""


def measure(task: str) -> dict[str, str]:
    """The row of a task: its metric, and its value for the trained model, the student and the student trained on."""
    data, recipe = TASKS[task].data, dict(SETS[task].recipe)
    with tempfile.TemporaryDirectory() as folder:
        place = {"project": folder, "exist_ok": True, "plots": False, "workers": 0}
        model = f"yolo26n{ENDS.get(task, f'-{task}')}.yaml"
        teacher = _train(model, data, {**recipe, **place, "name": "trained"})
        out = Path(folder, "student.pt")
        transplant(teacher, data=data, out=out, imgsz=recipe["imgsz"], **{**place, "name": "transplant"})
        tuned = _train(out, data, {**recipe, **place, "name": "tuned", "epochs": round(recipe["epochs"] / 4)})
        files = [str(file) for file in (teacher, out, tuned)]
        result = compare(files, Options(imgsz=recipe["imgsz"], data=data, rounds=1))
    values = [f"{float(row.accuracy or 0):.4f}" for row in result.rows]
    versions = (ultralytics.__version__, torch.__version__)
    return dict(zip(FIELDS, (task, result.metric, *values, *versions), strict=True))


def _train(model: str | Path, data: str, settings: dict[str, Any]) -> Path:
    yolo: Any = YOLO(model)
    yolo.add_callback("on_train_start", lambda _: torch.set_num_threads(1))
    yolo.train(data=data, **settings)
    return Path(yolo.trainer.best)


def read() -> dict[str, dict[str, str]]:
    """The rows so far, by task."""
    return {row["task"]: row for row in accuracy_report.read(RESULTS)}


def report(rows: dict[str, dict[str, str]]) -> str:
    """The rows as Markdown, in the order of the tasks; in brackets the share of the trained model's."""
    cells = []
    for row in (rows[task] for task in TASKS if task in rows):
        trained = float(row["trained"])
        shares = [f"{float(row[key]):.3f} ({float(row[key]) / trained:.2f})" for key in FIELDS[3:5]]
        cells.append([row["task"], row["metric"], f"{trained:.3f}", *shares])
    return "\n".join([HEAD, *table(["task", "metric", "trained", "transplant", "and trained on"], cells), ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=[*TASKS], choices=[*TASKS], help="all")
    torch.set_num_threads(1)
    if not RESULTS.is_file():
        RESULTS.write_text(",".join(FIELDS) + "\n", encoding="utf-8")
    for task in parser.parse_args(argv).tasks:
        if task not in read():
            row = measure(task)
            with RESULTS.open("a", newline="", encoding="utf-8") as file:  # two processes may append at once
                csv.DictWriter(file, FIELDS, lineterminator="\n").writerow(row)
        RESULTS.with_suffix(".md").write_text(report(read()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
