"""Models side by side: `yolo-starnet compare`."""

import csv
import itertools
import random
from pathlib import Path

import pytest
import torch
from ultralytics import YOLO

from conftest import train
from yolo_starnet import cli
from yolo_starnet.commands import compare, compare_picture, compare_report
from yolo_starnet.commands.compare import Options

PAIR = ["yolo11n.yaml", "yolo11n-starnet.yaml"]


@pytest.fixture(scope="module")
def comparison() -> compare.Comparison:
    return compare.compare(PAIR, Options(imgsz=64, device="cpu", rounds=3))


def test_sizes_are_those_that_ultralytics_counts_at_the_size_asked_for(comparison: compare.Comparison):
    for name, row in zip(PAIR, comparison.rows):
        _, parameters, _, gflops = YOLO(name).model.info(imgsz=64)
        assert (row.model, row.parameters, row.gflops) == (name, parameters, pytest.approx(gflops))


def test_times_and_memory_are_measured(comparison: compare.Comparison):
    for row in comparison.rows:
        assert 0 < row.low <= row.inference <= row.high
        assert row.whole > row.inference / 2
        assert 1 < row.memory < 2000  # MB: more than the weights of half a million parameters


def test_the_conditions_name_size_batch_device_threads_and_rounds(comparison: compare.Comparison):
    for condition in (
        "64 x 64 pixels",
        "batch 1",
        "cpu",
        f"torch on {torch.get_num_threads()} of",
        "3 interleaved rounds",
    ):
        assert condition in comparison.conditions


def test_an_export_is_run_by_its_own_runtime_and_nothing_is_left_behind():
    comparison = compare.compare(
        ["yolo11n-starnet.yaml"], Options(imgsz=64, device="cpu", format="torchscript", rounds=2)
    )
    assert comparison.rows[0].parameters == YOLO("yolo11n-starnet.yaml").model.info()[1]
    assert "torchscript" in comparison.conditions
    assert not list(Path().iterdir())


@pytest.mark.slow
def test_accuracy_is_that_of_val_for_trained_models_alone(tmp_path: Path):
    untrained = "yolo11n-starnet-cls.yaml"
    best = str(train(untrained, tmp_path, data="shapes-cls", epochs=1, imgsz=32) / "weights" / "best.pt")
    comparison = compare.compare([best, untrained], Options(imgsz=32, device="cpu", data="shapes-cls", rounds=2))
    measured = YOLO(best).val(data="shapes-cls", imgsz=32, device="cpu", plots=False).top1
    assert comparison.metric == "accuracy_top1"
    assert [row.accuracy for row in comparison.rows] == [pytest.approx(measured), None]
    assert measured > 0


def test_the_command_writes_a_table_a_csv_and_a_picture(capsys, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(compare_report, "RUNS_DIR", tmp_path)
    assert cli.main(["compare", f"model={PAIR[1]}", "imgsz=64", "device=cpu", "rounds=2"]) == 0
    printed = capsys.readouterr().out
    assert PAIR[1] in printed
    assert (tmp_path / "compare" / "compare.md").read_text() in printed
    with (tmp_path / "compare" / "compare.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == [PAIR[1]]
    assert (tmp_path / "compare" / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_shows_a_dash_where_nothing_was_measured_and_ratios_to_the_first():
    rows = [
        compare.Row("a.pt", 2_500_000, 6.25, 10.0, 9.0, 12.0, 15.0, 99.6, 0.5),
        compare.Row("b.onnx", None, None, 5.0, 4.0, 6.0, 7.0, 50.0, None),
    ]
    lines = compare_report.table(compare.Comparison(rows, "in a test", "mAP50-95(B)")).splitlines()
    assert lines[0].endswith("| memory (MB) | mAP50-95(B) |")
    assert lines[2] == "| a.pt | 2.50 | 6.2 | 10.0 | 9.0 to 12.0 | 1.00 | 15.0 | 100 | 0.500 |"
    assert lines[3] == "| b.onnx | - | - | 5.0 | 4.0 to 6.0 | 0.50 | 7.0 | 50 | - |"
    assert lines[-1] == "in a test"
    without = compare_report.table(compare.Comparison(rows, "in a test", "")).splitlines()
    assert [line.count("|") for line in without[:4]] == [9, 9, 9, 9]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["model=yolo11n-starnt.yaml"], "yolo11n-starnt.yaml: "),
        (["model=yolo11n.yaml", "format=onxx"], "no format 'onxx' among torchscript, onnx"),
        (["model=yolo11n.yaml", "imgsz=big"], "imgsz= must be a positive whole number, found 'big'"),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_one_line_and_leaves_nothing(arguments: list[str], reason: str, capsys):
    assert cli.main(["compare", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("yolo-starnet: ")
    assert reason in error
    assert not list(Path().iterdir())


def close_points(count: int) -> compare.Comparison:
    """Models whose times, memory and accuracy are almost alike."""
    rng = random.Random(count)
    rows = []
    for i in range(count):
        ms = 20 + rng.random() * 2
        name = f"runs/detect/train{i}/yolo11n-starnet_s{i:03}.pt"
        rows.append(compare.Row(name, 10, 5 + i / 50, ms, ms - 0.3, ms + 0.5, ms, 300 + i, 0.4 + rng.random() / 90))
    return compare.Comparison(rows, "in a test", "mAP50-95(B)")


@pytest.mark.parametrize("count", [1, 2, 6, 12])
@pytest.mark.parametrize("memory", [False, True], ids=["time", "time and memory"])
def test_no_label_of_the_picture_covers_another_or_leaves_its_panel(count: int, memory: bool):
    figure = compare_picture.draw(close_points(count), memory)
    assert len(figure.axes) == 1 + memory
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == count
        assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]
        frame = axes.get_window_extent()
        assert all(frame.x0 < b.x0 and b.x1 < frame.x1 and frame.y0 < b.y0 and b.y1 < frame.y1 for b in boxes)


def test_the_picture_has_accuracy_on_y_where_there_is_any_and_gflops_otherwise():
    with_accuracy = close_points(3)
    assert compare_picture.draw(with_accuracy).axes[0].get_ylabel() == "mAP50-95(B)"
    assert compare_picture.draw(with_accuracy._replace(metric="")).axes[0].get_ylabel() == "GFLOPs"
    (_, memory) = compare_picture.draw(with_accuracy, memory=True).axes
    assert memory.get_xlabel() == "peak memory, MB"
