"""The benchmarks: arguments, resuming, reading of results and reports; a line of Python stands for each training."""

import re
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

import accuracy
import accuracy_report
import accuracy_runs
import compatibility
import export_formats
import int8_report
import memory_format
import serving
import speed
import speed_report
import transplant
from accuracy_picture import README, picture, readme_picture
from accuracy_runs import Run
from markdown_table import table
from speed_cases import PAIRS, PARTS

TRAINING = """
import json, os, sys
run = json.loads(sys.argv[1])
if "bad" in run["model"]:
    sys.exit(1)
folder = os.path.join("runs", run["data"], run["recipe"] + "+epochs=2", run["model"][:-5], str(run["seed"]))
with open(os.path.join(folder, "results.csv"), "w") as file:
    file.write("epoch,metrics/mAP50(B),metrics/mAP50-95(B)\\n1,0.2,0.1\\n2,0.6,0.4\\n")
with open(os.path.join(folder, "run.json"), "w") as file:
    about = {"parameters": 1500000, "gflops": "4.40", "settings": "epochs=2", "torch": "2", "ultralytics": "8"}
    json.dump({"run": run, "about": {**about, "device": "cpu"}}, file)
"""
TRAIN = ["train", "--data", "shapes", "--models", "yolo11n.yaml"]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Three runs of two epochs, the second of which fails, with nothing trained yet and an empty CSV."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(accuracy_runs, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(accuracy_runs, "TRAINING", [sys.executable, "-c", TRAINING])
    monkeypatch.setattr(accuracy_report, "CSV", tmp_path / "accuracy.csv")
    return [Run("shapes", "auto", model, 0, {"epochs": 2}) for model in ("a.yaml", "bad.yaml", "b.yaml")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failed_run_is_reported_and_stops_no_other(runs: list[Run], jobs: int, capfd: pytest.CaptureFixture[str]):
    assert accuracy_runs.train_all(runs, jobs) == 1
    assert [r.finished for r in runs] == [True, False, True]
    assert "FAILED   shapes auto+epochs=2 bad 0" in capfd.readouterr().out


def test_only_unfinished_runs_are_trained_again(runs: list[Run], capfd: pytest.CaptureFixture[str]):
    accuracy_runs.train_all(runs, 1)
    capfd.readouterr()
    assert accuracy_runs.train_all(runs, 1) == 1
    assert [line.split()[3] for line in capfd.readouterr().out.splitlines() if "started" in line] == ["bad"]


def test_a_repeated_epoch_counts_once(runs: list[Run]):
    runs[0].folder.mkdir(parents=True)
    file = runs[0].folder / "results.csv"
    file.write_text("  epoch,  metrics/mAP50(B),  metrics/mAP50-95(B)\n  1,  0.2,  0.1\n  1,  0.3,  0.2\n")
    assert accuracy_runs.read_curve(runs[0].folder) == [(0.3, 0.2)]
    assert not runs[0].finished


def test_settings_that_change_learning_are_part_of_the_name(runs: list[Run]):
    moved = Run("there/shapes.yaml", "auto", "there/a.yaml", 0, {"epochs": 2, "device": "cpu", "imgsz": 256})
    assert moved.key == runs[0].key
    assert Run("shapes", "auto", "a.yaml", 0, {"epochs": 3}).key != runs[0].key


def test_finished_runs_and_the_rows_of_the_csv_are_collected_together(runs: list[Run]):
    known = accuracy_report.read(accuracy_report.RESULTS / "accuracy.csv")
    accuracy_report.CSV.write_text((accuracy_report.RESULTS / "accuracy.csv").read_text(encoding="utf-8"))
    accuracy_runs.train_all(runs, 1)
    rows = accuracy_runs.collect()
    assert len(rows) == len(known) + 2
    assert all(row in rows for row in known)
    new = next(r for r in rows if r["model"] == "a")
    assert list(new) == list(known[0]), "the columns of the CSV"
    assert (new["mAP50-95"], new["best_epoch"], new["curve"]) == ("0.4", "2", "0.1000 0.4000")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param([*TRAIN, "epoch=3"], "no setting 'epoch'; did you mean 'epochs'?", id="setting"),
        pytest.param([*TRAIN, "--seed", "3"], "unrecognized arguments: --seed", id="option"),
        pytest.param([*TRAIN, "now"], "'now' is neither an option nor KEY=VALUE", id="word"),
        pytest.param(TRAIN[:3], "required: --models", id="no models"),
        pytest.param([*TRAIN, "--seeds", "one"], "invalid _seeds value: 'one'", id="seed"),
        pytest.param(["reprot"], "invalid choice: 'reprot'", id="command"),
        pytest.param([], "required: command", id="nothing"),
    ],
)
def test_accuracy_refuses_wrong_arguments(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        accuracy.main(argv)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param(
            ["layer"],
            "unknown part 'layer', expected one of recommended, scales, pair, engines, layers, swaps",
            id="part",
        ),
        pytest.param(["--second=3"], "unrecognized arguments: --second", id="option"),
        pytest.param(["--seconds", "few"], "invalid float value: 'few'", id="value"),
    ],
)
def test_speed_refuses_wrong_arguments(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        speed.main(argv)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param(["detect-onxx"], "no case has 'detect-onxx' in its name", id="case"),
        pytest.param(["--wirte"], "unrecognized arguments: --wirte", id="option"),
    ],
)
def test_export_formats_refuses_wrong_arguments(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        export_formats.main(argv)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_table_has_a_line_for_head_rule_and_each_row():
    assert table(["a", "b"], [["1", "x|y"]]) == ["| a | b |", "| --- | --- |", "| 1 | x/y |"]


def test_a_table_refuses_a_row_with_a_missing_cell():
    with pytest.raises(ValueError, match=r"row \['1'\] has 1 cells, expected 2"):
        table(["a", "b"], [["1"]])


def test_the_page_has_mean_spread_plateau_and_epochs():
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


@pytest.fixture(scope="module")
def measured() -> list[accuracy_report.Row]:
    """The rows of results/accuracy.csv."""
    return accuracy_report.read(accuracy_report.RESULTS / "accuracy.csv")


def test_the_pages_are_what_the_csv_files_give(measured: list[accuracy_report.Row]):
    def text(name: str) -> str:
        return (accuracy_report.RESULTS / name).read_text(encoding="utf-8")

    assert accuracy_report.page(measured) == text("accuracy.md")
    records = speed_report.read(speed_report.RESULTS / "speed.csv")
    titles = {name: (part.__doc__ or "").splitlines()[0] for name, part in PARTS.items()}
    written = text("speed.md")
    assert speed_report.page(records, titles).partition("\n## ")[2] == written.partition("\n## ")[2]


def test_the_table_for_users_is_what_the_csv_gives(measured: list[accuracy_report.Row]):
    guide = accuracy_report.GUIDE.read_text(encoding="utf-8")
    assert "\n".join(accuracy_report.summary(accuracy_report.for_users(measured))) in guide


def test_the_page_for_users_has_no_internal_names(measured: list[accuracy_report.Row]):
    models = {r["model"] for r in measured}
    internal = {m.removeprefix("yolo11n-") for m in models if not accuracy_report.is_loadable(m)}
    assert {"v3c", "c14", "fit_p2_32"} <= internal
    words = set(re.findall(r"\w+", accuracy_report.GUIDE.read_text(encoding="utf-8")))
    assert not internal & words


def test_the_picture_has_a_panel_for_each_data_set_and_labels_each_point(measured: list[accuracy_report.Row]):
    points = accuracy_report.points(accuracy_report.for_users(measured))
    figure = picture(points)
    assert [axes.get_title() for axes in figure.axes] == [*accuracy_report.SETS.values()]
    for axes, of_set in zip(figure.axes, points.values()):
        assert len(axes.lines) == len(axes.texts) == len(of_set)
        assert all(accuracy_report.is_loadable(model) for model in of_set)
        assert {"yolo11n", "yolo11n-starnet_fit"} <= set(of_set)


def test_the_difference_to_yolo11n_is_a_mean_over_the_data_sets_and_needs_all_of_them():
    def run(model: str, data: str, value: float, seed: int = 0) -> accuracy_report.Row:
        names = {"model": model, "data": data, "recipe": accuracy_report.RECIPE, "seed": str(seed)}
        return {**names, "mAP50-95": str(value), "parameters": "1", "gflops": "1", "ms_ratio": ""}

    stock = [run("yolo11n", data, 0.5) for data in accuracy_report.SETS]
    other = [run("other", data, 0.5 + step / 100) for data, step in zip(accuracy_report.SETS, (1, -3, -1))]
    models = {"yolo11n": stock, "other": other, "partial": other[:1]}
    lines = accuracy_report.summary(models)
    assert "| 0.510 (1) | 0.470 (1) | 0.490 (1) | -0.010 ± 0.020 |" in lines[3]
    assert "| 0.510 (1) |  |  |  |" in lines[4]


def test_the_picture_of_the_readme_names_each_point_so_that_it_needs_no_legend(measured: list[accuracy_report.Row]):
    figure = readme_picture(accuracy_report.means(accuracy_report.for_users(measured)))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = [text.get_text().splitlines()[0] for text in axes.texts]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert labels == [*README.values()]
    assert axes.get_legend() is None
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(figure.bbox.containsx(x) for box in boxes for x in box.intervalx)


def test_speed_records_survive_their_csv(tmp_path: Path):
    times = {"yolo11n": [2.0, 4.0, 6.0], "yolo11n-starnet": [1.0, 2.0, 3.0]}
    written = list(speed_report.records("pair", "onnx", speed_report.Conditions(640, 1, 2), times))
    speed_report.save(written, tmp_path / "speed.csv")
    assert speed_report.read(tmp_path / "speed.csv") == written
    assert [r.ratio for r in written] == [None, 0.5]


def test_the_picture_of_speed_has_a_bar_for_every_model_and_engine():
    figure = speed_report.picture(speed_report.read(speed_report.RESULTS / "speed.csv"))
    assert figure is not None
    assert len(figure.axes[0].patches) == 2 * len(PAIRS) * len(speed_report.ENGINES)


def test_one_bad_parameter_marks_a_test_as_failed(tmp_path: Path):
    names = {"ultralytics": "8.4.190", "torch": "2.15.0", "python": "3.11"}
    properties = "".join(f'<property name="{k}" value="{v}"/>' for k, v in names.items())
    cases = '<testcase name="test_a[1]"/><testcase name="test_a[2]"><failure/></testcase><testcase name="test_a[3]"/>'
    cases += '<testcase name="test_b"><skipped/></testcase><testcase name="test_c"/>'
    file = tmp_path / "8.4.190.xml"
    file.write_text(f"<testsuites><testsuite><properties>{properties}</properties>{cases}</testsuite></testsuites>")
    page = compatibility.page([compatibility.read(file)])
    assert page.endswith("| 8.4.190 | 2.15.0 | 3.11 | ✗ | - | ✓ |\n")
    assert "0 of 1 releases pass every check" in page


def test_a_model_whose_training_has_not_ended_is_not_transplanted(tmp_path, capsys):
    torch.save({"epoch": 35, "model": None}, tmp_path / "best.pt")
    with pytest.raises(SystemExit):
        transplant.main([str(tmp_path / "best.pt"), "--name", "yolo11n", "--data", "my.yaml"])
    assert "best.pt has not ended: it is in epoch 36" in capsys.readouterr().err


def test_the_report_of_transplants_gives_each_step_as_a_share_of_the_trained_model():
    row = {"data": "cells", "model": "yolo11n", "backbone": "starnet_fit", "seconds": "90"}
    steps = {"trained": "0.5000", "transplant": "0.4500", "10 epochs": "0.5100"}
    text = transplant.report([{**row, "step": step, "map": value} for step, value in steps.items()])
    assert "| trained model | backbone | trained | transplant | 10 epochs |" in text
    assert "| yolo11n | starnet_fit | 0.500 | 0.450 (0.90), 90 s | 0.510 (1.02), 90 s |" in text


def test_the_report_of_transplants_gives_the_share_of_a_gain_that_is_carried_to_another_set(monkeypatch):
    scratch = [("yolo11n", "0.08"), ("yolo11n", "0.12"), ("yolo11n-starnet_fit", "0.2")]
    known = {"data": "masks", "recipe": accuracy_report.RECIPE}
    rows = [{**known, "model": model, "mAP50-95": value} for model, value in scratch]
    monkeypatch.setattr(accuracy_report, "read", lambda _: rows)
    row = {"data": "cells, then masks", "model": "yolo11n, seed 1", "backbone": "starnet_fit", "seconds": "90"}
    steps = {"trained": "0.5", "transplant": "0.4", "40 epochs": "0.28", "trained, 40 epochs": "0.2"}
    unfinished = {**row, "model": "yolo11n, seed 2", "step": "trained", "map": "0.5"}
    text = transplant.report([*({**row, "step": step, "map": value} for step, value in steps.items()), unfinished])
    assert "| yolo11n, seed 1 | starnet_fit | 0.100 | 0.200 | 0.200 | 0.280 | 0.80 |" in text
    assert "seed 2" not in text


def test_the_report_of_memory_formats_counts_complete_pairs_only():
    maps = {"channels-last": [0.6, 0.2], "plain": [0.5, 0.4, 0.9]}
    values = [(name, seed, value) for name, of_name in maps.items() for seed, value in enumerate(of_name)]
    text = memory_format.report(
        [{"seed": str(seed), "format": name, "map": str(value)} for name, seed, value in values]
    )
    assert "| 0 | 0.500 | 0.600 | +0.100 |\n| 1 | 0.400 | 0.200 | -0.200 |\n\n" in text
    assert "-0.050, with a standard error of 0.150. Channels-last is behind in 1 of 2 pairs." in text


INT8 = """data,model,runtime,float,int8,float_mb,int8_mb,ms_ratio,images,version,failed
bccd,yolo11n,onnx,0.5,0.49,10,3,1.4,100,1.32,
bccd,other,onnx,0.48,0.45,8,2,1.3,100,1.32,
bccd,other,rknn,,,,,,,,KeyError: gone
"""


def test_the_int8_report_compares_each_loss_with_that_of_yolo11n(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(int8_report, "CSV", tmp_path / "int8.csv")
    (tmp_path / "int8.csv").write_text(INT8)
    int8_report.write()
    page = (tmp_path / "int8.md").read_text()
    assert "| ONNX Runtime | yolo11n | 0.5 | 0.49 | 0.010 |  | 10.0 → 3.0 | 1.40 | 100 |" in page
    assert "| ONNX Runtime | other | 0.48 | 0.45 | 0.030 | +0.020 | 8.0 → 2.0 | 1.30 | 100 |" in page
    assert "| RKNN, simulated | other | KeyError: gone |" in page


def test_boxes_differ_by_the_worst_corner_and_confidence_of_the_nearest_box():
    boxes = np.array([[0, 0, 10, 10, 0.9, 1], [50, 50, 90, 90, 0.8, 0]], dtype=np.float32)
    moved = boxes[::-1] + np.array([0, 0.5, 0, 0, 0.01, 0], dtype=np.float32)
    assert serving._differ(boxes, moved) == pytest.approx((0.5, 0.01), abs=1e-5)
    assert serving._differ(boxes, boxes[:1]) == (float("inf"), float("inf"))
