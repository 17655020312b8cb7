"""Measure what a transplant keeps of a trained model, before and after fine-tuning.

    python benchmarks/transplant.py best.pt --name yolo11n --data my.yaml --tune 10,40
    python benchmarks/transplant.py best.pt --name "yolo11n, seed 0" --data my.yaml --then other.yaml --tune 40

It transplants `best.pt` without labels, fine-tunes the result for each number of epochs, and fine-tunes `best.pt`
itself for the largest number. With `--then`, `best.pt` is transplanted on the images of another data set, and both are
fine-tuned there, which tells what the training on the first is worth. What has run is kept in
build/transplant/DATA/NAME/BACKBONE and not run again. Everything runs on one thread. The results go to
benchmarks/results/transplant.csv and .md.
"""

from __future__ import annotations

import argparse
import csv
import functools
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import ultralytics
from ultralytics import YOLO

import accuracy_report
from accuracy_runs import as_words, read_curve
from markdown_table import table
from yolo_starnet import transplant

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "build" / "transplant"
RESULTS = ROOT / "benchmarks" / "results" / "transplant.csv"
FIELDS = ("data", "model", "backbone", "step", "map", "seconds", "settings", "ultralytics", "torch")
RECIPE = {"optimizer": "MuSGD", "lr0": 0.01, "momentum": 0.9, "warmup_bias_lr": 0.0, "batch": 16, "patience": 0}
"""The recipe of every fine-tuning. It is the one under which accuracy.py trained the models that are transplanted."""
THEN = ", then "
"""What stands between the names of the set of a training and of another that follows it."""
HEAD = """# Transplants

Written by `benchmarks/transplant.py`. mAP50-95 on the validation images, of the best epoch where there are labels to
tell it; in brackets the share of the trained model's. Seconds are those that the processor spent, on one thread,
validation included. `transplant` uses no labels.
"""
CARRIED = """Trained on the first set, transplanted on the images of the second, then both fine-tuned on the second,
for as many epochs as the models there that are trained from scratch; of those it is the mean over the seeds. The share:
what the transplant gains over its network from scratch, of what the trained model gains over its own."""
COLUMNS = ("from scratch", "trained, then fine-tuned", "backbone from scratch", "transplant, fine-tuned", "share")


class Steps:
    """The steps of one transplant.

    Attributes:
        folder: Where they leave what they write.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        """Take the arguments of the command line."""
        self.options = options
        self.tuned_on = options.then or options.data
        self.data = THEN.join(Path(data).stem for data in dict.fromkeys((options.data, self.tuned_on)))
        self.folder = RUNS / self.data / options.name / options.backbone
        self.folder.mkdir(parents=True, exist_ok=True)
        self.common = {"imgsz": options.imgsz, "workers": 0, "plots": False, "project": str(self.folder)}

    def run(self) -> None:
        """Run each step that has not run yet, and write its result."""
        student, epochs = self.folder / "student.pt", [int(e) for e in self.options.tune.split(",")]
        self._once("trained", "", lambda: self._validate(self.options.trained))
        self._once("transplant", f"epochs={self.options.epochs}", lambda: self._transplant(student))
        for count in epochs:
            self._once(f"{count} epochs", _words(count), functools.partial(self._tune, student, count))
        last = max(epochs)
        self._once(f"trained, {last} epochs", _words(last), lambda: self._tune(self.options.trained, last))

    def _once(self, step: str, settings: str, run: Callable[[], float]) -> None:
        """Run a step unless its result is known, and add the result to the CSV."""
        key = {"data": self.data, "model": self.options.name, "backbone": self.options.backbone}
        if any(all(row[k] == v for k, v in {**key, "step": step}.items()) for row in read()):
            return
        begin = time.process_time()
        value = run()
        versions = {"ultralytics": ultralytics.__version__, "torch": torch.__version__}
        seconds = f"{time.process_time() - begin:.0f}"
        row = {**key, "step": step, "map": f"{value:.4f}", "seconds": seconds, "settings": settings, **versions}
        rows = [*read(), row]  # read again: another run may have written meanwhile
        with RESULTS.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def _transplant(self, student: Path) -> float:
        student.unlink(missing_ok=True)  # of a run that was interrupted afterwards
        options = self.options
        transplant(options.trained, options.backbone, self.tuned_on, student, epochs=options.epochs, **self.common)
        return self._validate(student)

    def _tune(self, start: Path, epochs: int) -> float:
        yolo: Any = YOLO(start)
        yolo.add_callback("on_train_start", lambda _: torch.set_num_threads(1))
        name = f"{start.stem}-{epochs}"
        yolo.train(data=self.tuned_on, epochs=epochs, name=name, exist_ok=True, **self.common, **RECIPE)
        return max(value for _, value in read_curve(Path(yolo.trainer.save_dir)))

    def _validate(self, file: Path) -> float:
        results = YOLO(file).val(data=self.options.data, batch=16, verbose=False, **self.common)
        return float(results.box.map)


def read() -> list[dict[str, str]]:
    """The results so far."""
    return accuracy_report.read(RESULTS)


def report(rows: Sequence[dict[str, str]]) -> str:
    """The results as Markdown: a table for each data set, a row for each trained model, a column for each step."""
    lines = [HEAD]
    for data, group in itertools.groupby(sorted(rows, key=lambda row: row["data"]), lambda row: row["data"]):
        results = list(group)
        steps = list(dict.fromkeys(row["step"] for row in results))
        models = dict.fromkeys((row["model"], row["backbone"]) for row in results)
        lines += [f"## {data}", ""]
        if THEN in data:
            scratch = accuracy_report.from_scratch(data.split(THEN)[1])
            cells = [[*m, *line] for m in models if (line := _carried(_by_step(results, m), *m, scratch))]
            lines += [CARRIED, "", *table(["trained model", "backbone", *COLUMNS], cells), ""]
        else:
            cells = [[*m, *(_cell(_by_step(results, m), s) for s in steps)] for m in models]
            lines += [*table(["trained model", "backbone", *steps], cells), ""]
    return "\n".join(lines)


def _by_step(rows: Sequence[dict[str, str]], model: tuple[str, str]) -> dict[str, dict[str, str]]:
    """The results of a model on a backbone."""
    return {row["step"]: row for row in rows if (row["model"], row["backbone"]) == model}


def _carried(
    results: dict[str, dict[str, str]], model: str, backbone: str, scratch: dict[str, float]
) -> list[str] | None:
    """The cells of `COLUMNS`; None if the last step, which tells the epochs, has not run."""
    epochs = next((step.removeprefix("trained, ") for step in results if step.startswith("trained, ")), None)
    if epochs is None:
        return None
    stock = model.split(", seed ")[0]
    trained, student = (float(results[step]["map"]) for step in (f"trained, {epochs}", epochs))
    trained_before, student_before = scratch[stock], scratch[f"{stock}-{backbone}"]
    share = (student - student_before) / (trained - trained_before)
    return [*(f"{value:.3f}" for value in (trained_before, trained, student_before, student)), f"{share:.2f}"]


def _cell(results: dict[str, dict[str, str]], step: str) -> str:
    """The result of a step, its share of the trained model's, and its seconds where they were measured."""
    if step not in results:
        return ""
    value = float(results[step]["map"])
    if step == "trained":
        return f"{value:.3f}"
    seconds = f", {results[step]['seconds']} s" if results[step]["seconds"] else ""
    return f"{value:.3f} ({value / float(results['trained']['map']):.2f}){seconds}"


def _words(epochs: int) -> str:
    """The settings of a fine-tuning."""
    return " ".join(as_words({"epochs": epochs, **RECIPE}))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path, help="a trained checkpoint")
    parser.add_argument("--name", required=True, help="its name in the table")
    parser.add_argument("--data", required=True, help="a data YAML")
    parser.add_argument("--then", help="the data YAML of another set, to transplant and fine-tune on")
    parser.add_argument("--backbone", default="starnet_fit")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the transplant")
    parser.add_argument("--tune", default="10,40", help="epochs of fine-tuning, separated by commas")
    parser.add_argument("--imgsz", type=int, default=256)
    torch.set_num_threads(1)
    options = parser.parse_args(argv)
    epoch = torch.load(options.trained, map_location="cpu", weights_only=False).get("epoch", -1)
    if epoch != -1:  # the end of a training sets it to that
        parser.error(f"the training that writes {options.trained} has not ended: it is in epoch {epoch + 1}")
    Steps(options).run()
    RESULTS.with_suffix(".md").write_text(report(read()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
