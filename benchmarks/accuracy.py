"""Train models from scratch, recipe by recipe and seed by seed, and write what they reach to results/accuracy.*.

    python benchmarks/accuracy.py data=bccd.yaml models=yolo11n.yaml,yolo11n-starnet.yaml recipes=adamw-0.002,auto \
        seeds=0,1 jobs=2                      # train what is not trained yet, then report
    python benchmarks/accuracy.py latency     # time every model of the table, on a quiet machine, then report
    python benchmarks/accuracy.py report      # write table and picture of the CSV and of what has finished since

A recipe is `auto`, or an optimizer and its learning rate. Any other `key=value` is a setting of Ultralytics': device,
workers and cache change no result; the others, such as epochs=100, become part of the recipe's name. `latency` finds a
model by its name, or among `models=` where it is a file of yours.

A run is a process of its own in build/accuracy/DATA/RECIPE/MODEL/SEED, with its log. DATA and MODEL are the names of
the YAMLs without their folders, so give no two the same. A run that was interrupted goes on where it was; one that has
finished is left alone, even if a YAML has changed since: delete its folder to train it again.

Ultralytics writes its label caches beside the labels; train on a copy of data that is to stay as it is.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
import ultralytics
from ultralytics import YOLO
from ultralytics.cfg import get_cfg, smart_value
from ultralytics.data import build_yolo_dataset
from ultralytics.data.utils import check_det_dataset
from ultralytics.utils.torch_utils import get_cpu_info

from accuracy_report import Row, page, picture
from yolo_starnet.measuring import figures  # which makes Ultralytics know the models and the built-in data, too

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "build" / "accuracy"
RESULTS = ROOT / "benchmarks" / "results"
COMMAND = [sys.executable, __file__, "run"]
DEFAULTS = {"epochs": 40, "imgsz": 256, "batch": 16}
OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD", "musgd": "MuSGD"}
MACHINE = ("device", "workers", "cache")
"""Settings that change where and how fast a model trains, not what it learns."""
REFERENCE = "yolo11n"
"""The model that times are relative to."""


@dataclass(frozen=True)
class Run:
    """One training; `settings` are those of Ultralytics' that the command line gave."""

    data: str
    recipe: str
    model: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe_settings(self) -> dict[str, Any]:
        """All that decides what the model learns, beside data and seed."""
        name, _, rate = self.recipe.partition("-")
        given = {"lr0": float(rate)} if rate else {}
        own = {k: v for k, v in self.settings.items() if k not in MACHINE}
        return {**DEFAULTS, "optimizer": OPTIMIZERS.get(name, name), **given, **own}

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Data, recipe, model and seed by their short names."""
        own = {k: v for k, v in self.settings.items() if k not in MACHINE and v != DEFAULTS.get(k)}
        return Path(self.data).stem, "+".join([self.recipe, *_words(own)]), Path(self.model).stem, str(self.seed)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return RUNS.joinpath(*self.key)

    @property
    def finished(self) -> bool:
        """Whether the model has been validated after every epoch."""
        return len(read_curve(self.folder)) == self.recipe_settings["epochs"]


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; 1 where a run failed, 2 where it says nothing."""
    words = [a for a in argv if "=" not in a]
    given = dict(a.split("=", 1) for a in argv if "=" in a)
    data, models = (given.pop(key).split(",") if key in given else [] for key in ("data", "models"))
    failed = 0
    if words == ["latency"]:
        rows, files = collect(), {Path(m).stem: m for m in models}
        time_models(rows, {r["model"]: files.get(r["model"], f"{r['model']}.yaml") for r in rows})
        report(rows)
    elif words == ["report"]:
        report(collect())
    elif words or not data or not models:
        print(__doc__)
        return 2
    else:
        jobs, recipes, seeds = int(given.pop("jobs", 1)), given.pop("recipes", "auto"), given.pop("seeds", "0")
        settings = {k: smart_value(v) for k, v in given.items()}
        for name in data:
            _cache_labels(name, settings.get("fraction", 1.0))
        order = ((s, d, r, m) for s in seeds.split(",") for d in data for r in recipes.split(",") for m in models)
        failed = train_all([Run(d, r, m, int(s), settings) for s, d, r, m in order], jobs)
        report(collect())
    return int(failed > 0)


def _cache_labels(data: str, fraction: float) -> None:
    """Let Ultralytics write its caches before there are several processes, which would trip over each other's."""
    found, args = check_det_dataset(data), get_cfg(overrides={"task": "detect", "fraction": fraction})
    for split in ("train", "val"):
        build_yolo_dataset(args, found[split], 1, found, mode=split)


def train_all(runs: Iterable[Run], jobs: int) -> int:
    """Train what has not finished, `jobs` at a time, and return how many failed."""
    todo = [r for r in runs if not r.finished]
    active: dict[subprocess.Popen[bytes], Run] = {}
    failed = 0
    try:
        while todo or active:
            while todo and len(active) < jobs:
                run = todo.pop(0)
                run.folder.mkdir(parents=True, exist_ok=True)
                command = [*COMMAND, json.dumps(asdict(run)), str(os.getpid())]
                one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
                with open(run.folder / "log.txt", "ab") as log:
                    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=one_thread)
                active[process] = run
                print("started ", *run.key, flush=True)
            time.sleep(0.2)
            for process in [p for p in active if p.poll() is not None]:
                run = active.pop(process)
                ok = process.returncode == 0 and run.finished
                failed += not ok
                print("finished" if ok else "FAILED  ", *run.key, "" if ok else "(see its log.txt)", flush=True)
    finally:
        for process in active:
            process.terminate()
    return failed


def train(run: Run, parent: int) -> None:
    """Train a model in this process, from where it was interrupted if it was."""
    last = run.folder / "weights" / "last.pt"
    yolo = YOLO(last if last.exists() else run.model)

    def begin(trainer: Any) -> None:
        torch.set_num_threads(1)  # Ultralytics takes more, which belong to other runs
        counted = figures.of_file(run.model)
        about = {
            "parameters": counted.parameters,
            "gflops": f"{counted.gflops:.2f}",
            "settings": " ".join(_words(run.recipe_settings)),
            "torch": torch.__version__,
            "ultralytics": ultralytics.__version__,
            "device": torch.cuda.get_device_name(trainer.device) if trainer.device.type == "cuda" else get_cpu_info(),
        }
        (run.folder / "run.json").write_text(json.dumps({"run": asdict(run), "about": about}))

    def end_with_parent(trainer: Any) -> None:
        if os.getppid() != parent:  # or another process might soon train the same run
            raise SystemExit("the process that started this one is gone")

    yolo.add_callback("on_train_start", begin)
    yolo.add_callback("on_train_batch_end", end_with_parent)
    machine = {k: v for k, v in run.settings.items() if k in MACHINE}
    if last.exists():
        yolo.train(resume=True, **machine)
    else:
        place = {"project": str(run.folder.parent), "name": run.folder.name, "exist_ok": True, "plots": False}
        # Without patience, for every curve to be of the same length.
        yolo.train(**{"data": run.data, "seed": run.seed, "patience": 0, **place, **machine, **run.recipe_settings})


def read_curve(folder: Path) -> list[tuple[float, float]]:
    """The mAP50 and mAP50-95 of a run after each epoch; the last counts of one that an interrupt made run twice."""
    by_epoch = {}
    for row in _read(folder / "results.csv"):
        values = {k.strip(): v for k, v in row.items()}  # old releases pad them
        by_epoch[int(values["epoch"])] = float(values["metrics/mAP50(B)"]), float(values["metrics/mAP50-95(B)"])
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def collect() -> list[Row]:
    """A row for each run: those of the CSV, perhaps from other machines, and those that have finished here."""
    names = ("data", "recipe", "model", "seed")
    rows = {tuple(r[n] for n in names): r for r in _read(RESULTS / "accuracy.csv")}
    times = {r["model"]: {k: r[k] for k in ("ms", "ms_ratio", "ms_device")} for r in rows.values()}
    for file in RUNS.glob("*/*/*/*/run.json"):
        said = json.loads(file.read_text())
        run = Run(**said["run"])
        if run.finished:
            curve = read_curve(file.parent)
            best = max(range(len(curve)), key=lambda epoch: curve[epoch][1])
            reached = {"mAP50": curve[best][0], "mAP50-95": curve[best][1], "best_epoch": best + 1}
            timed = times.get(run.key[2], {"ms": "", "ms_ratio": "", "ms_device": ""})
            row = {**dict(zip(names, run.key)), **reached, **timed, **said["about"]}
            rows[run.key] = {**{k: str(v) for k, v in row.items()}, "curve": " ".join(f"{m:.4f}" for _, m in curve)}
    return [rows[key] for key in sorted(rows)]


def time_models(rows: Iterable[Row], models: Mapping[str, str], rounds: int = 50, warmup: int = 3) -> None:
    """Put the milliseconds of each model, and what they are to those of the reference, into its rows."""
    torch.set_num_threads(1)
    image = torch.rand(1, 3, 640, 640).to(memory_format=torch.channels_last)
    networks = {
        name: YOLO(model).model.eval().fuse(verbose=False).to(memory_format=torch.channels_last)
        for name, model in {REFERENCE: f"{REFERENCE}.yaml", **models}.items()
    }
    times = defaultdict(list)
    with torch.inference_mode():
        for _ in range(warmup + rounds):
            for name, network in networks.items():
                network(image)  # which finds the caches full of another model, as no detector at work does
                start = time.perf_counter()
                network(image)
                times[name].append(1000 * (time.perf_counter() - start))
    for row in (row for row in rows if row["model"] in times):
        own, reference = times[row["model"]][warmup:], times[REFERENCE][warmup:]
        row["ms"], row["ms_ratio"] = f"{median(own):.1f}", f"{median(a / b for a, b in zip(own, reference)):.3f}"
        row["ms_device"] = f"{get_cpu_info()}, torch {torch.__version__}"


def report(rows: Sequence[Row]) -> None:
    """Write the CSV, the page and the picture."""
    if not rows:
        return print("no run has finished yet")
    RESULTS.mkdir(parents=True, exist_ok=True)
    with open(RESULTS / "accuracy.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (RESULTS / "accuracy.md").write_text(page(rows), encoding="utf-8")
    picture(rows).savefig(RESULTS / "accuracy.png", dpi=110)
    return print(f"wrote {(RESULTS / 'accuracy.md').relative_to(ROOT)}, .csv and .png")


def _words(settings: Mapping[str, Any]) -> list[str]:
    """As on a command line, files without their folders."""
    return [f"{k}={Path(str(v)).name}" for k, v in settings.items()]


def _read(file: Path) -> list[Row]:
    if not file.exists():
        return []
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        train(Run(**json.loads(sys.argv[2])), int(sys.argv[3]))
    else:
        sys.exit(main(sys.argv[1:]))
