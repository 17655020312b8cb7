"""The command line: the grammar of `yolo`, with the plugin active."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ultralytics import YOLO, cfg
from ultralytics.utils.callbacks.base import default_callbacks

from yolo_starnet import cli
from yolo_starnet.demo import datasets
from yolo_starnet.tasks import TASKS


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the stock command line makes of the arguments: the call of `YOLO.train` is recorded, not carried out."""
    seen: dict[str, Any] = {}

    def train(self: YOLO, **arguments: Any) -> None:
        seen.update(arguments)

    monkeypatch.setattr(YOLO, "train", train)
    return seen


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["train", "data=my data.yaml"], {"data": "my data.yaml"}),
        (["train", "data=x.yaml", 'name=it\'s "quoted"'], {"data": "x.yaml", "name": 'it\'s "quoted"'}),
        (["train", "data=x.yaml", "imgsz=[64,", "96]"], {"data": "x.yaml", "imgsz": [64, 96]}),
        (["train", "data", "=", "x.yaml", "epochs=", "3"], {"data": "x.yaml", "epochs": 3}),
        (["mode=train", "--data=x.yaml,", "plots"], {"data": "x.yaml", "plots": True}),
        (["detect", "train", "data=x.yaml", "lr0=1e-3"], {"data": "x.yaml", "lr0": 0.001}),
        (["train", "data=shapes", "epochs=7"], {"data": "shapes", "epochs": 7}),
    ],
    ids=["spaces", "quotes", "list", "spaces around =", "mode= and dashes", "task", "shapes by name"],
)
def test_arguments_are_passed_on_faithfully_with_our_model(argv: list[str], expected: dict, passed_on: dict[str, Any]):
    assert cli.main(argv) == 0
    assert passed_on == {"mode": "train", "model": cli.DEFAULT_MODEL, **expected}


def test_a_cfg_file_is_read_as_yolo_reads_it(passed_on: dict[str, Any], tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("model: yolo11s-starnet.yaml\ndata: x.yaml\nepochs: 5\n")
    assert cli.main(["train", "cfg=mine.yaml", "epochs=9"]) == 0
    assert passed_on == {"mode": "train", "model": "yolo11s-starnet.yaml", "data": "x.yaml", "epochs": 9}


@pytest.mark.parametrize(
    "argv", [["train"], ["detect", "train"], ["train", "model=yolo11n-starnet_fit.yaml"]], ids=" ".join
)
def test_train_without_data_takes_the_built_in_set_and_a_recipe_that_fits_it(
    argv: list[str], passed_on: dict[str, Any]
):
    assert cli.main(argv) == 0
    assert passed_on == {
        "mode": "train",
        "model": cli.DEFAULT_MODEL,
        "data": "shapes",
        **datasets.SETS["detect"].recipe,
    }


@pytest.mark.parametrize("task", [task for task in TASKS if task in cfg.TASKS])
def test_every_task_has_a_model_and_a_built_in_set_of_its_own(task: str, passed_on: dict[str, Any]):
    assert cli.main([task, "train"]) == 0
    model, data_set = TASKS[task].model, datasets.SETS[task]
    assert passed_on.pop("task", task) == task
    assert passed_on == {"mode": "train", "model": model, "data": data_set.name, **data_set.recipe}
    assert YOLO(model).task == task


@pytest.fixture
def three_threads() -> Iterator[int]:
    """A thread count that neither Ultralytics nor this package chooses."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_training_on_built_in_data_restores_the_thread_count_and_ultralytics_callbacks(
    three_threads: int, tmp_path: Path, log: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(datasets, "SPLITS", {"train": 8, "val": 4})
    monkeypatch.setattr(datasets, "settings", {"datasets_dir": str(tmp_path / "sets")})
    callbacks = {event: list(functions) for event, functions in default_callbacks.items()}
    small = ["epochs=1", "imgsz=32", "workers=0", "plots=False", "device=cpu", "val=False"]
    assert cli.main(["train", *small, f"project={tmp_path}", "name=run"]) == 0
    assert torch.get_num_threads() == three_threads
    assert default_callbacks == callbacks
    assert any(f"predict model={tmp_path / 'run' / 'weights' / 'best.pt'}" in line for line in log)


def test_a_failed_training_on_built_in_data_restores_the_thread_count_and_ultralytics_callbacks(
    three_threads: int, monkeypatch: pytest.MonkeyPatch
):
    def train(self: YOLO, **arguments: Any) -> None:
        torch.set_num_threads(1)
        raise MemoryError

    callbacks = {event: list(functions) for event, functions in default_callbacks.items()}
    monkeypatch.setattr(YOLO, "train", train)
    with pytest.raises(MemoryError):
        cli.main(["train"])
    assert torch.get_num_threads() == three_threads
    assert default_callbacks == callbacks


@pytest.fixture
def one_core() -> Iterator[None]:
    """This process may use one core of the machine, as in many a container."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system does not tie a process to cores")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_training_on_built_in_data_takes_no_more_threads_than_the_process_may_use_cores(
    three_threads: int, one_core: None, monkeypatch: pytest.MonkeyPatch
):
    threads: list[int] = []

    def train(self: YOLO, **arguments: Any) -> None:
        default_callbacks["on_train_start"][-1](self)
        threads.append(torch.get_num_threads())

    monkeypatch.setattr(YOLO, "train", train)
    assert cli.main(["train"]) == 0
    assert threads == [1]


def test_a_checkpoint_is_trained_on_what_it_was_trained_on(passed_on: dict[str, Any], trained: Path):
    weights = str(trained / "weights" / "last.pt")
    data = torch.load(weights, weights_only=False)["train_args"]["data"]
    assert Path(data).name == "shapes.yaml"
    assert cli.main(["train", f"model={weights}", "epochs=1"]) == 0
    assert passed_on == {"mode": "train", "model": weights, "data": data, "epochs": 1}


def test_what_the_user_says_wins_over_the_recipe(passed_on: dict[str, Any]):
    assert cli.main(["train", "epochs=1", "model=yolo11s-starnet.yaml"]) == 0
    expected = {"mode": "train", "data": "shapes", **datasets.SETS["detect"].recipe}
    assert passed_on == {**expected, "model": "yolo11s-starnet.yaml", "epochs": 1}


def test_a_stock_model_is_trained_on_the_built_in_set_of_its_task(passed_on: dict[str, Any]):
    assert cli.main(["train", "model=yolo11n-cls.yaml"]) == 0
    assert passed_on["data"] == "shapes-cls"


@pytest.mark.parametrize("command", ["version", "cfg", "help", "settings", "checks"])
def test_special_commands_are_those_of_yolo(command: str, python):
    assert python("-m", "yolo_starnet", command).stdout


def test_help_and_no_arguments_show_the_help_of_both_programs(python):
    for argv in ([], ["--help"]):
        done = python("-m", "yolo_starnet", *argv)
        assert "yolo-starnet train" in done.stdout
        assert "yolo TASK MODE ARGS" in done.stdout


def test_an_error_of_ours_is_one_line_and_exit_status_1(python):
    done = python("-m", "yolo_starnet", "train", "model=yolo11n-starnet_s7.yaml", "data=x.yaml", check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith("yolo-starnet: no config 'yolo11")


@pytest.mark.parametrize(
    ("argv", "word", "similar"),
    [
        (["modles"], "modles", "'models'"),
        (["trian", "model=yolo11n.yaml"], "trian", "'train'"),
        (["detect", "trian"], "trian", "'train'"),
        (["settngs"], "settngs", "'settings'"),
        (["cmopare", "model=a,b"], "cmopare", "'compare'"),
        (["train", "epohcs"], "epohcs", "'epochs'"),
        (["--modles"], "modles", "'models'"),
        (["qqqqqq"], "qqqqqq", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_word_that_nobody_knows_is_one_line_with_the_nearest(
    argv: list[str], word: str, similar: str, capsys: pytest.CaptureFixture[str], log: list[str]
):
    assert cli.main(argv) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"yolo-starnet: no command, mode, task or argument '{word}'")
    assert similar in line
    assert not log


@pytest.mark.parametrize("argv", [["version"], ["--version"], ["-V"], ["v"], ["settings", "nonsense"]], ids=" ".join)
def test_a_word_that_ultralytics_knows_is_left_to_it(argv: list[str], log: list[str]):
    assert cli.main(argv) == 0
    assert log


def test_an_error_of_ultralytics_is_left_as_it_is():
    before = sys.argv[:]
    with pytest.raises(SyntaxError, match="epocs"):
        cli.main(["train", "epocs=3"])
    assert sys.argv == before


def test_predict_saves_its_pictures_as_yolo_does(trained: Path, photograph: Path, tmp_path: Path):
    weights = trained / "weights" / "best.pt"
    assert cli.main(["predict", f"model={weights}", f"source={photograph}", f"project={tmp_path}", "name=seen"]) == 0
    assert (tmp_path / "seen" / "bus.jpg").is_file()
