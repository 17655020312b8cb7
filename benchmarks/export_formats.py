"""Export trained StarNet models to every format, run them by their own runtimes and write docs/export.md.

    python benchmarks/export_formats.py                   # run every case without a result, then write the page
    python benchmarks/export_formats.py detect-onnx-16    # run the cases whose names hold one of the words, again
    python benchmarks/export_formats.py --speed           # time the exported files, then write the page
    python benchmarks/export_formats.py --write           # only write the page

What a case needs is trained first, 3 minutes a model; a case takes 5 to 60 seconds. Results are kept in
build/export. So a format whose packages conflict with others can run in another environment, and the page holds the
results of all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Any

import export_report
from export_cases import BUILD, CASES, FORMATS, MODELS, ROOT, Case, result, result_file
from export_compare import agrees
from yolo_starnet.demo import datasets

TRIAL = Path(__file__).with_name("export_trial.py")
TIMEOUT = 1800
"""Seconds for one case."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cases that the command line selects, each in a process, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="run the cases whose names hold one of these words")
    parser.add_argument("--speed", action="store_true", help="time the exported files")
    parser.add_argument("--write", action="store_true", help="only write the page")
    options = parser.parse_args(argv)
    for word in options.words:
        if not any(word in case.key for case in CASES):
            parser.error(f"no case has '{word}' in its name; the cases are {', '.join(c.key for c in CASES)}")
    what = "speed" if options.speed else "measure"
    for case in [] if options.write else CASES:
        if _is_wanted(case, options.words, what):
            _run(case, what)
    (ROOT / "docs" / "export.md").write_text(export_report.page(), encoding="utf-8")


def _is_wanted(case: Case, words: list[str], what: str) -> bool:
    known = result(case)
    ready = util.find_spec(FORMATS[case.format].module) is not None
    if words and not any(word in case.key for word in words):
        return False
    if what == "speed":
        return ready and "boxes" in known
    # Missing packages are a result, too, until an environment that has them leaves a better one.
    return not known or (ready and (bool(words) or "No module named" in known.get("failed", "")))


def _run(case: Case, what: str) -> None:
    """Run a case in a new process, because some runtimes end theirs, and keep its outcome."""
    _checkpoint(case.model)
    outcome = _spawn(case, case.model, what)
    if what == "speed":
        outcome = {**result(case), **outcome}
    elif not agrees(case, outcome) and "No module named" not in outcome.get("failed", ""):
        _checkpoint("stock")
        outcome["control"] = _spawn(case, "stock", what) if case.task == "detect" and case.model != "end2end" else {}
    result_file(case).parent.mkdir(parents=True, exist_ok=True)
    result_file(case).write_text(json.dumps(outcome, indent=1))
    print(case.key, json.dumps({k: v for k, v in outcome.items() if k != "control"}), flush=True)


def _spawn(case: Case, model: str, what: str) -> dict[str, Any]:
    folder = BUILD / "work" / (case.key if model == case.model else f"{case.key}-{model}")
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "result.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(TRIAL), str(CASES.index(case)), model, what]
    with open(folder / f"{what}.log", "w") as log:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            check=False,
            timeout=TIMEOUT,
        )
    if out.is_file():
        return json.loads(out.read_text())
    return {"failed": f"the process ended with status {done.returncode}", "stage": what}


def _checkpoint(name: str) -> Path:
    """The checkpoint of a model, trained on its built-in set with the recipe of that set if it does not exist."""
    file = BUILD / "checkpoints" / f"{name}.pt"
    if not file.is_file():
        task = name if name in datasets.SETS else "detect"
        recipe = [f"{k}={v}" for k, v in datasets.SETS[task].recipe.items()]
        given = [f"model={MODELS[name]}", f"data={datasets.SETS[task].name}", *recipe, "plots=False", "exist_ok=True"]
        command = [
            sys.executable,
            "-m",
            "yolo_starnet",
            task,
            "train",
            *given,
            f"project={BUILD}",
            f"name=train-{name}",
        ]
        subprocess.run(command, check=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUILD / f"train-{name}" / "weights" / "best.pt", file)
    return file


if __name__ == "__main__":
    main()
