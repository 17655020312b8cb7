"""The table of commands: each has a help, and says which arguments it takes."""

import pytest

from yolo_starnet import cli
from yolo_starnet.commands.table import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_names_every_argument_and_its_meaning(name: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([name, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: yolo-starnet {name}")
    for key, meaning in COMMANDS[name].keys.items():
        assert f"{key}=" in printed.splitlines()[0]
        assert meaning in printed
    for flag, meaning in COMMANDS[name].flags.items():
        assert f"[{flag}]" in printed.splitlines()[0]
        assert meaning in printed
    assert f"\nexample: yolo-starnet {name}" in printed


@pytest.mark.parametrize("name", COMMANDS)
def test_the_general_help_names_every_command_and_what_it_does(name: str, log: list[str]):
    assert cli.main(["--help"]) == 0
    [line] = [line.strip() for line in log if line.strip().split()[:2] == ["yolo-starnet", name]]
    assert line == f"yolo-starnet {name} {COMMANDS[name].example}".strip()
    assert any(COMMANDS[name].summary in line for line in log)


@pytest.mark.parametrize("name", COMMANDS)
def test_required_arguments_and_those_of_the_example_are_arguments_of_the_command(name: str):
    command = COMMANDS[name]
    in_example = {word.partition("=")[0] for word in command.example.split() if "=" in word}
    assert {*command.required, *in_example} <= command.keys.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_argument_is_one_line_that_lists_those_there_are(name: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([name, "colour=red"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"yolo-starnet: '{name}' has no argument 'colour'")
    assert line.endswith(f"See yolo-starnet {name} --help")
    assert all(f"{key}=" in line for key in COMMANDS[name].keys)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["models", "fmaily=26"], "'models' has no argument 'fmaily' among family=, task=, scale=, backbone=; did you"),
        (["enable", "now"], "'enable' has no argument 'now'; it takes none. See"),
        (["graft"], "'graft' needs model=, a stock YAML"),
        (["graft", "model="], "'graft' needs model=, a stock YAML"),
        (["compare", "rounds=3"], "'compare' needs model=, models, separated by commas"),
        (["compare", "model=,"], "model= names no model"),
        (["compare", "model=a.yaml", f"imgsz={'9' * 5000}"], "imgsz= must be a positive whole number"),
        (
            ["compare", "model=yolov8n.yaml", "imgsz=1"],
            "yolov8n.yaml: imgsz= must be a multiple of",
        ),
        (["new", f"name={'a' * 300}", "kind=layer"], "'aaa"),
        (["new", "name=mine", "kind=layer", f"out={'b' * 300}"], "bbb"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_message_says_what_is_wrong_with_an_argument(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"yolo-starnet: {reason}")
