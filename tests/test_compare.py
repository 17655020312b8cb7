"""Models side by side: `yolo-starnet compare`."""

import csv
from pathlib import Path

import pytest
import torch
from ultralytics import YOLO

from conftest import train
from yolo_starnet import cli
from yolo_starnet.commands import compare
from yolo_starnet.measuring import timing

PAIR = ["yolo11n.yaml", "yolo11n-starnet.yaml"]


@pytest.fixture(scope="module")
def comparison() -> compare.Comparison:
    return compare.compare(PAIR, imgsz=64, device="cpu", rounds=3)


def test_sizes_are_those_that_ultralytics_counts_at_the_size_asked_for(comparison: compare.Comparison):
    for name, row in zip(PAIR, comparison.rows):
        _, parameters, _, gflops = YOLO(name).model.info(imgsz=64)
        assert (row.model, row.parameters, row.gflops) == (name, parameters, pytest.approx(gflops))


def test_times_and_memory_are_measured(comparison: compare.Comparison):
    for row in comparison.rows:
        assert 0 < row.low <= row.inference <= row.high
        assert row.whole > row.inference / 2
        assert 1 < row.memory < 2000  # MB: more than the weights of half a million parameters


def test_conditions_are_told(comparison: compare.Comparison):
    for told in ("64 x 64 pixels", "batch 1", "cpu", f"torch on {torch.get_num_threads()} of", "3 interleaved rounds"):
        assert told in comparison.conditions


def test_an_export_is_run_by_its_own_runtime_and_nothing_is_left_behind():
    found = compare.compare(["yolo11n-starnet.yaml"], imgsz=64, device="cpu", format="torchscript", rounds=2)
    assert found.rows[0].parameters == YOLO("yolo11n-starnet.yaml").model.info()[1]
    assert "torchscript" in found.conditions
    assert not list(Path().iterdir())


def test_accuracy_is_that_of_val_for_trained_models_alone(tmp_path: Path):
    untrained = "yolo11n-starnet-cls.yaml"
    best = str(train(untrained, tmp_path, data="shapes-cls", epochs=1, imgsz=32) / "weights" / "best.pt")
    found = compare.compare([best, untrained], imgsz=32, device="cpu", data="shapes-cls", rounds=2)
    measured = YOLO(best).val(data="shapes-cls", imgsz=32, device="cpu", plots=False).top1
    assert found.metric == "accuracy_top1"
    assert [row.accuracy for row in found.rows] == [pytest.approx(measured), None]
    assert measured > 0


def test_the_command_writes_a_table_a_csv_and_a_picture(capsys, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(compare, "RUNS_DIR", tmp_path)
    assert cli.main(["compare", f"model={PAIR[1]}", "imgsz=64", "device=cpu", "rounds=2"]) == 0
    printed = capsys.readouterr().out
    assert PAIR[1] in printed
    assert (tmp_path / "compare" / "compare.md").read_text() in printed
    with (tmp_path / "compare" / "compare.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == [PAIR[1]]
    assert (tmp_path / "compare" / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_models_take_turns_and_another_begins_each_round():
    calls: list[str] = []
    found = timing.interleave({name: lambda name=name: calls.append(name) for name in "abc"}, 3)
    assert "".join(calls) == "aabbccbbccaaccaabb"  # the first call of a turn does not count
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3, "c": 3}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "needs model="),
        (["model=yolo11n-starnt.yaml"], "yolo11n-starnt.yaml: "),
        (["model=yolo11n.yaml", "format=onxx"], "no format 'onxx'; there are torchscript, onnx"),
        (["model=yolo11n.yaml", "imgsz=big"], "imgsz must be a whole number from 1 up, found 'big'"),
        (["model=yolo11n.yaml", "image=64"], "cannot make sense of 'image'; it takes model=, imgsz="),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_one_line_and_leaves_nothing(arguments: list[str], reason: str, capsys):
    assert cli.main(["compare", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("yolo-starnet: ")
    assert reason in error
    assert not list(Path().iterdir())
