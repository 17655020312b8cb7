"""The runs of accuracy.py: their names, folders and results. `train_all` starts each in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import accuracy_report
from accuracy_report import Row

RUNS = Path(__file__).parents[1] / "build" / "accuracy"
TRAINING = [sys.executable, str(Path(__file__).with_name("accuracy_training.py"))]
"""The command that trains one run."""
DEFAULTS = {"epochs": 40, "imgsz": 256, "batch": 16}
OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD", "musgd": "MuSGD"}
MACHINE = ("device", "workers", "cache")
"""Settings that change where and how fast a model trains, not what it learns."""
POLL = 0.2
"""Seconds between two looks at the processes."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        data: The YAML of the data set.
        recipe: `auto`, or an optimizer and its learning rate, such as `adamw-0.002`.
        model: The YAML of the model.
        seed: The seed of initial weights, augmentation and order of images.
        settings: Settings of Ultralytics from the command line.
    """

    data: str
    recipe: str
    model: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe_settings(self) -> dict[str, Any]:
        """All settings that decide what the model learns, beside data and seed."""
        name, _, rate = self.recipe.partition("-")
        optimizer = {"optimizer": OPTIMIZERS.get(name, name), **({"lr0": float(rate)} if rate else {})}
        return {**DEFAULTS, **optimizer, **self._learning_settings}

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The short names of data, recipe, model and seed."""
        changed = {k: v for k, v in self._learning_settings.items() if v != DEFAULTS.get(k)}
        recipe = "+".join([self.recipe, *as_words(changed)])
        return Path(self.data).stem, recipe, Path(self.model).stem, str(self.seed)

    @property
    def _learning_settings(self) -> dict[str, Any]:
        return {k: v for k, v in self.settings.items() if k not in MACHINE}

    @property
    def folder(self) -> Path:
        """The folder of its log, weights and results."""
        return RUNS.joinpath(*self.key)

    @property
    def finished(self) -> bool:
        """Whether the model has been validated after every epoch."""
        return len(read_curve(self.folder)) == self.recipe_settings["epochs"]


def train_all(runs: Iterable[Run], jobs: int) -> int:
    """Train the runs that have not finished, `jobs` at a time, and return how many failed."""
    waiting = [r for r in runs if not r.finished]
    active: dict[subprocess.Popen[bytes], Run] = {}
    failed = 0
    try:
        while waiting or active:
            while waiting and len(active) < jobs:
                run = waiting.pop(0)
                active[_start(run)] = run
            time.sleep(POLL)
            for process in [p for p in active if p.poll() is not None]:
                failed += not _succeeded(active.pop(process), process.returncode)
    finally:
        for process in active:
            process.terminate()
    return failed


def _start(run: Run) -> subprocess.Popen[bytes]:
    run.folder.mkdir(parents=True, exist_ok=True)
    print("started ", *run.key, flush=True)
    command = [*TRAINING, json.dumps(asdict(run)), str(os.getpid())]
    with open(run.folder / "log.txt", "ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )


def _succeeded(run: Run, status: int) -> bool:
    ok = status == 0 and run.finished
    print("finished" if ok else "FAILED  ", *run.key, "" if ok else f"(see {run.folder / 'log.txt'})", flush=True)
    return ok


def collect() -> list[Row]:
    """One row for each run: those of the CSV and those that have finished in build/accuracy since."""
    names = ("data", "recipe", "model", "seed")
    rows = {tuple(r[n] for n in names): r for r in accuracy_report.read(accuracy_report.CSV)}
    times = {r["model"]: {k: r[k] for k in ("ms", "ms_ratio", "ms_device")} for r in rows.values()}
    for file in RUNS.glob("*/*/*/*/run.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        run = Run(**content["run"])
        if run.finished:
            timed = times.get(run.key[2], {"ms": "", "ms_ratio": "", "ms_device": ""})
            rows[run.key] = {**dict(zip(names, run.key)), **_result(file.parent, timed, content["about"])}
    return [rows[key] for key in sorted(rows)]


def _result(folder: Path, timed: Row, about: Mapping[str, Any]) -> Row:
    curve = read_curve(folder)
    best = max(range(len(curve)), key=lambda epoch: curve[epoch][1])
    reached = {"mAP50": curve[best][0], "mAP50-95": curve[best][1], "best_epoch": best + 1}
    row = {k: str(v) for k, v in {**reached, **timed, **about}.items()}
    return {**row, "curve": " ".join(f"{m:.4f}" for _, m in curve)}


def read_curve(folder: Path) -> list[tuple[float, float]]:
    """MAP50 and mAP50-95 of a run after each epoch; of an epoch that an interrupt repeated, the last counts."""
    by_epoch = {}
    for row in accuracy_report.read(folder / "results.csv"):
        values = {k.strip(): v for k, v in row.items()}  # old releases pad the titles
        by_epoch[int(values["epoch"])] = float(values["metrics/mAP50(B)"]), float(values["metrics/mAP50-95(B)"])
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def as_words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as on a command line, files without their folders."""
    return [f"{k}={Path(str(v)).name}" for k, v in settings.items()]
