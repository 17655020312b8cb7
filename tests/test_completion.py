"""Completion of the command line, in the shells themselves."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ultralytics import cfg

from yolo_starnet import cli
from yolo_starnet.commands import completion
from yolo_starnet.commands.table import COMMANDS

Complete = Callable[[str], list[str]]


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """What the command prints for a shell."""

    def run(shell: str) -> str:
        assert cli.main(["completion", shell]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def complete(script: Callable[[str], str], tmp_path: Path) -> Complete:
    """What a real bash offers for a line, split into words as bash splits it."""
    bash = shutil.which("bash") or pytest.skip("there is no bash here")
    (tmp_path / "completion.bash").write_text(script("bash"))

    def run(line: str) -> list[str]:
        words = re.findall(r"=|[^\s=]+", line) + ([""] if line.endswith(" ") else [])
        given = " ".join(f"'{word}'" for word in words)
        code = f"source completion.bash; COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _yolo_starnet\n"
        code += 'complete -p yolo-starnet > /dev/null && printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run([bash, "-uc", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    return run


def test_the_first_word_is_a_command_a_mode_a_task_or_an_argument(complete: Complete):
    assert {*complete("yolo-starnet ")} >= {*COMMANDS, *cfg.MODES, *cfg.TASKS, *(f"{k}=" for k in cfg.DEFAULT_CFG_DICT)}
    assert {*complete("yolo-starnet tra")} == {"transplant", "train", "track", "tracker=", "translate="}


@pytest.mark.parametrize("name", COMMANDS)
def test_after_a_command_its_own_arguments_are_offered(name: str, complete: Complete):
    expected = [*(f"{key}=" for key in COMMANDS[name].keys), *COMMANDS[name].flags]
    assert complete(f"yolo-starnet {name} ") == expected


def test_after_a_mode_every_argument_of_ultralytics_is_offered(complete: Complete):
    assert complete("yolo-starnet train ep") == ["epochs="]
    assert complete("yolo-starnet detect train data=shapes img") == ["imgsz="]


def test_the_values_of_an_argument_are_names_that_exist(complete: Complete):
    assert complete("yolo-starnet train model=yolo11n-starnet-s") == ["yolo11n-starnet-seg.yaml"]
    assert complete("yolo-starnet train data=shapes-s") == ["shapes-seg", "shapes-semantic"]
    assert "starnet_fit" in complete("yolo-starnet graft backbone=")
    assert complete("yolo-starnet export format=onn") == ["onnx"]


def test_files_are_offered_where_a_value_may_be_one(complete: Complete, tmp_path: Path):
    (tmp_path / "yolo-mine.pt").touch()
    assert complete("yolo-starnet train model=yolo-m") == ["yolo-mine.pt"]
    assert complete("yolo-starnet predict source=yolo-") == ["yolo-mine.pt"]


def test_every_model_that_is_offered_is_a_config():
    offered = completion._models()
    assert len(offered) == len(set(offered)) == 5 * len([*completion.names.CONFIGS.glob("*.yaml")])
    assert {"yolo11n-starnet.yaml", "yolov8x-starnet-pose.yaml", "yolo26s-starnet_fit-sem.yaml"} <= {*offered}


def test_zsh_reads_its_script(script: Callable[[str], str], tmp_path: Path):
    text = script("zsh")
    assert text.startswith("#compdef yolo-starnet\n")
    zsh = shutil.which("zsh") or pytest.skip("there is no zsh here")
    (tmp_path / "completion.zsh").write_text(text)
    subprocess.run([zsh, "-n", "completion.zsh"], check=True)


def test_another_shell_is_an_error_that_names_the_two(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["completion", "fish"]) == 1
    assert capsys.readouterr().err == "yolo-starnet: no completion for 'fish'; the shells are bash and zsh\n"
