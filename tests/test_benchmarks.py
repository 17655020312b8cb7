"""The benchmarks: what they skip, resume and report; the trainings are stood in for by a line of Python."""

import sys
from pathlib import Path

import pytest

import accuracy
import accuracy_report
from accuracy import Run

TRAINING = """
import json, os, sys
run = json.loads(sys.argv[1])
if "bad" in run["model"]:
    sys.exit(1)
folder = os.path.join("runs", run["data"], run["recipe"] + "+epochs=2", run["model"][:-5], str(run["seed"]))
with open(os.path.join(folder, "results.csv"), "w") as file:
    file.write("epoch,metrics/mAP50(B),metrics/mAP50-95(B)\\n1,0.2,0.1\\n2,0.6,0.4\\n")
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Three runs of two epochs, the second of which fails, with nothing trained yet."""
    monkeypatch.setattr(accuracy, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(accuracy, "COMMAND", [sys.executable, "-c", TRAINING])
    return [Run("shapes", "auto", model, 0, {"epochs": 2}) for model in ("a.yaml", "bad.yaml", "b.yaml")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_fails_is_told_and_stops_no_other(runs: list[Run], jobs: int, capfd: pytest.CaptureFixture[str]):
    assert accuracy.train_all(runs, jobs) == 1
    assert [r.finished for r in runs] == [True, False, True]
    assert "FAILED   shapes auto+epochs=2 bad 0" in capfd.readouterr().out


def test_only_what_has_not_finished_is_trained_again(runs: list[Run], capfd: pytest.CaptureFixture[str]):
    accuracy.train_all(runs, 1)
    capfd.readouterr()
    assert accuracy.train_all(runs, 1) == 1
    assert [line.split()[3] for line in capfd.readouterr().out.splitlines() if "started" in line] == ["bad"]


def test_an_epoch_that_an_interrupt_made_run_twice_counts_once(runs: list[Run]):
    runs[0].folder.mkdir(parents=True)
    file = runs[0].folder / "results.csv"
    file.write_text("  epoch,  metrics/mAP50(B),  metrics/mAP50-95(B)\n  1,  0.2,  0.1\n  1,  0.3,  0.2\n")
    assert accuracy.read_curve(runs[0].folder) == [(0.3, 0.2)]
    assert not runs[0].finished


def test_settings_that_change_what_is_learnt_are_part_of_the_name(runs: list[Run]):
    moved = Run("there/shapes.yaml", "auto", "there/a.yaml", 0, {"epochs": 2, "device": "cpu", "imgsz": 256})
    assert moved.key == runs[0].key
    assert Run("shapes", "auto", "a.yaml", 0, {"epochs": 3}).key != runs[0].key


def test_the_pareto_front_holds_what_nothing_cheaper_beats():
    points = [(3.0, 0.5), (1.0, 0.2), (2.0, 0.5), (1.0, 0.3), (4.0, 0.4), (5.0, 0.6)]
    assert accuracy_report.pareto(points) == [(1.0, 0.3), (2.0, 0.5), (5.0, 0.6)]


def test_the_page_tells_mean_spread_plateau_and_epochs():
    rows = [
        {
            **dict.fromkeys(("data", "recipe", "settings", "device", "torch", "ultralytics", "ms_device"), "x"),
            "model": "m",
            "parameters": "1500000",
            "gflops": "4.4",
            "ms_ratio": "0.8",
            "seed": str(seed),
            "mAP50": str(best + 0.3),
            "mAP50-95": str(best),
            "curve": f"0.1 0.3 {best} {best} {best} {best} {best}",
        }
        for seed, best in enumerate((0.4, 0.5))
    ]
    page = accuracy_report.page(rows)
    assert "| epochs to 0.40 |" in page
    assert "| `m` | 1.50 M | 4.4 | 0.80 | 0.750 ± 0.050 | 0.450 ± 0.050 | 3 | 0.450 | 2 |" in page
