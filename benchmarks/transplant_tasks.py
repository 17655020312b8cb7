"""Transplant a model of every task on the built-in data: what the student keeps of the trained model.

    python benchmarks/transplant_tasks.py [TASK ...]

For each task, a stock YOLO26n is trained by the recipe of the built-in set, transplanted with the defaults of
`transplant`, and trained on for a quarter of the recipe's epochs. The main metric of each goes to
benchmarks/results/transplant_tasks.md. Everything runs on one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ultralytics import YOLO

from markdown_table import table
from yolo_starnet import transplant
from yolo_starnet.commands.compare import Options, compare
from yolo_starnet.demo.datasets import SETS
from yolo_starnet.tasks import TASKS

PAGE = Path(__file__).with_name("results") / "transplant_tasks.md"
ENDS = {"detect": "", "segment": "-seg", "classify": "-cls", "semantic": "-sem"}
"""The end of the name of a stock model; `-TASK` for the others."""
HEAD = """# Transplants of every task

Written by `benchmarks/transplant_tasks.py`: YOLO26n, trained on the built-in set of the task by its recipe, put on
`starnet_fit` without labels, and trained on for a quarter of the recipe's epochs. One seed. For depth, the metric is
delta1, the share of pixels whose distance is right within a quarter.
"""


def measure(task: str) -> list[str]:
    """The row of a task: its metric, and its value for the trained model, the student and the student trained on."""
    data, recipe = TASKS[task].data, dict(SETS[task].recipe)
    with tempfile.TemporaryDirectory() as folder:
        place = {"project": folder, "exist_ok": True, "plots": False, "workers": 0}
        teacher: Any = _train(f"yolo26n{ENDS.get(task, f'-{task}')}.yaml", data, {**recipe, **place, "name": "trained"})
        out = Path(folder, "student.pt")
        transplant(teacher, data=data, out=out, imgsz=recipe["imgsz"], **{**place, "name": "transplant"})
        tuned = _train(out, data, {**recipe, **place, "name": "tuned", "epochs": round(recipe["epochs"] / 4)})
        files = [str(file) for file in (teacher, out, tuned)]
        result = compare(files, Options(imgsz=recipe["imgsz"], data=data, rounds=1))
    values = [float(row.accuracy or 0) for row in result.rows]
    cells = [f"{values[0]:.3f}", *(f"{value:.3f} ({value / values[0]:.2f})" for value in values[1:])]
    return [task, result.metric, *cells]


def _train(model: str | Path, data: str, settings: dict[str, Any]) -> Path:
    yolo: Any = YOLO(model)
    yolo.add_callback("on_train_start", lambda _: torch.set_num_threads(1))
    yolo.train(data=data, **settings)
    return Path(yolo.trainer.best)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=[*TASKS], choices=[*TASKS], help="all unless given")
    torch.set_num_threads(1)
    heads = ("task", "metric", "trained", "transplant", "and trained on")
    rows = [measure(task) for task in parser.parse_args(argv).tasks]
    PAGE.write_text("\n".join([HEAD, *table(heads, rows), ""]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
