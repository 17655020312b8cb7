"""Train models from scratch, recipe by recipe and seed by seed, and report the accuracy that they reach.

    python benchmarks/accuracy.py train --data bccd.yaml --models yolo11n.yaml,yolo11n-starnet.yaml \
        --recipes adamw-0.002,auto --seeds 0,1 --jobs 2 epochs=100
    python benchmarks/accuracy.py latency    # time the models that load by name, on a quiet machine, then report
    python benchmarks/accuracy.py report     # write the tables and the picture again

`train` trains what has not finished, then reports. A recipe is `auto`, or an optimizer and its learning rate. Any
`key=value` is a setting of Ultralytics. device, workers and cache change no result; the others become part of the
recipe's name.

A run is a process in build/accuracy/DATA/RECIPE/MODEL/SEED, with its log. DATA and MODEL are the names of the YAMLs
without their folders, so give no two files the same name. An interrupted run continues. A finished run stays as it is,
even if its YAML changes: delete its folder to train it again.

Ultralytics writes its label caches beside the labels; train on a copy of data that must stay unchanged.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ultralytics.cfg import DEFAULT_CFG_DICT, get_cfg, smart_value
from ultralytics.data import build_yolo_dataset
from ultralytics.data.utils import check_det_dataset

import accuracy_report
import accuracy_runs
from accuracy_latency import time_models
from accuracy_runs import Run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 1 where a training failed."""
    parser = _parser()
    options = parser.parse_args(argv)
    failed = 0
    if options.command == "train":
        settings = dict(_setting(parser, word) for word in options.settings)
        failed = _train(options, settings)
    rows = accuracy_runs.collect()
    if options.command == "latency":
        files = {Path(m).stem: m for m in options.models}
        known = {r["model"]: f"{r['model']}.yaml" for r in rows if accuracy_report.is_loadable(r["model"])}
        time_models(rows, {**known, **files})
    if rows:
        accuracy_report.write(rows)
    else:
        print("no run has finished yet")
    return int(failed > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train what has not finished, then report", allow_abbrev=False)
    train.add_argument("--data", type=_names, required=True, metavar="YAML,YAML")
    train.add_argument("--models", type=_names, required=True, metavar="YAML,YAML")
    train.add_argument("--recipes", type=_names, default=["auto"], help="auto, or as adamw-0.002")
    train.add_argument("--seeds", type=_seeds, default=[0])
    train.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    train.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of Ultralytics, such as epochs=100")
    latency = commands.add_parser("latency", help="time the models that load by name, then report", allow_abbrev=False)
    latency.add_argument(
        "--models", type=_names, default=[], metavar="YAML,YAML", help="files of further models, such as your own"
    )
    commands.add_parser("report", help="write tables and picture", allow_abbrev=False)
    return parser


def _names(text: str) -> list[str]:
    return text.split(",")


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


def _setting(parser: argparse.ArgumentParser, word: str) -> tuple[str, Any]:
    """Split `key=value`; an unknown key ends the program with the nearest one that Ultralytics has."""
    key, equals, value = word.partition("=")
    if not equals:
        parser.error(f"'{word}' is neither an option nor KEY=VALUE")
    if key not in DEFAULT_CFG_DICT:
        near = difflib.get_close_matches(key, DEFAULT_CFG_DICT, n=1)
        parser.error(f"Ultralytics has no setting '{key}'" + (f"; did you mean '{near[0]}'?" if near else ""))
    return key, smart_value(value)


def _train(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    for data in options.data:
        _cache_labels(data, settings.get("fraction", 1.0))
    # Seed by seed, so that every model has one result before any has two.
    order = product(options.seeds, options.data, options.recipes, options.models)
    runs = [Run(data, recipe, model, seed, settings) for seed, data, recipe, model in order]
    return accuracy_runs.train_all(runs, options.jobs)


def _cache_labels(data: str, fraction: float) -> None:
    """Let Ultralytics write its label caches now; processes that start together overwrite each other's."""
    splits = check_det_dataset(data)
    args: Any = get_cfg(overrides={"task": "detect", "fraction": fraction})
    for split in ("train", "val"):
        build_yolo_dataset(args, splits[split], 1, splits, mode=split)


if __name__ == "__main__":
    sys.exit(main())
