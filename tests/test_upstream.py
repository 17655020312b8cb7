"""The comparison of Ultralytics' own tests with and without the plugin: what it records, and what it reports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import compare
from compare import Outcome

TESTS = {
    "test_python.py": """
import os, pytest

def test_passes(): pass
def test_raises(): raise ValueError("no")
def test_ends_its_process(): os._exit(3)
def test_runs_after_it(): pass
@pytest.mark.skip(reason="not here")
def test_skipped(): pass
@pytest.mark.slow
@pytest.mark.skipif(True, reason="environment is offline")
def test_tune(): pass
@pytest.fixture
def broken():
    yield
    raise KeyError("at the end")
def test_fails_after_its_end(broken): pass
""",
    "test_exports.py": """
import pytest

@pytest.mark.slow
def test_matrix(): pass
def test_export(): pass
""",
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What the recorder notes of a few tests that end in every way."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, text in TESTS.items():
        (folder / name).write_text(text)
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}  # of an outer xdist
    env = {**outside, "PYTHONPATH": str(compare.HERE), "UPSTREAM_RESULTS": str(folder / "results.jsonl")}
    options = ["-p", "xdist", "-n", "1", "-p", "recorder", "-p", "no:cacheprovider", "-o", "markers=slow"]
    command = [sys.executable, "-m", "pytest", "-q", *TESTS, *options]
    subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False, timeout=300)
    return compare.read(folder / "results.jsonl")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("test_python.py::test_passes", ("passed", "")),
        ("test_python.py::test_raises", ("failed", "ValueError")),
        ("test_python.py::test_fails_after_its_end", ("failed", "KeyError")),
        ("test_python.py::test_ends_its_process", ("failed", "")),
        ("test_python.py::test_runs_after_it", ("passed", "")),
        ("test_python.py::test_skipped", ("skipped", "Skipped")),
        ("test_python.py::test_tune", ("passed", "")),
        ("test_exports.py::test_export", ("passed", "")),
    ],
)
def test_what_a_test_ended_with_is_recorded(test: str, expected: tuple[str, str], recorded: dict[str, Outcome]):
    assert recorded[test][:2] == expected
    assert recorded[test].was_killed == (expected == ("failed", ""))


def test_slow_exports_are_left_out(recorded: dict[str, Outcome]):
    assert "test_exports.py::test_matrix" not in recorded
    assert len(recorded) == 8


def test_a_test_without_the_plugin_is_recorded_as_such(recorded: dict[str, Outcome]):
    assert recorded["test_python.py::test_passes"].plugin == "False"


STOCK = {"a": Outcome("passed", "", "False"), "b": Outcome("failed", "ValueError", "False")}
ALIKE = {"a": Outcome("passed", "", "True"), "b": Outcome("failed", "ValueError", "True")}


@pytest.mark.parametrize(
    ("stock", "plugin", "found"),
    [
        (STOCK, ALIKE, []),
        (STOCK, {**ALIKE, "a": Outcome("failed", "TypeError", "True")}, ["a: passed without", "failed TypeError with"]),
        (STOCK, {**ALIKE, "b": Outcome("failed", "KeyError", "True")}, ["b: failed ValueError without"]),
        (STOCK, {"a": ALIKE["a"]}, ["b: failed ValueError without the plugin, missing with it"]),
        (STOCK, {**ALIKE, "a": Outcome("passed", "", "False")}, ["a: the plugin was active without being"]),
        ({**STOCK, "a": ALIKE["a"]}, ALIKE, ["a: the plugin was active without being"]),
        ({}, {}, ["No test passed without the plugin"]),
    ],
    ids=["alike", "result", "error", "missing", "inactive", "active in stock", "nothing ran"],
)
def test_every_difference_is_listed_and_exits_with_1(
    stock: dict, plugin: dict, found: list[str], capsys: pytest.CaptureFixture[str]
):
    assert compare.report(stock, plugin) == bool(found)
    printed = capsys.readouterr().out
    assert all(text in printed for text in found)
    assert ("Every test ends alike" in printed) == (not found)


def test_a_run_that_left_no_results_holds_no_test(tmp_path: Path):
    assert compare.read(tmp_path / "missing.jsonl") == {}


def test_a_folder_that_is_not_of_an_earlier_run_is_not_deleted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit):
        compare.main(["8.4.190", "--work", str(tmp_path)])
    assert (tmp_path / "mine.txt").is_file()
    assert f"{tmp_path} exists and is not of an earlier run" in capsys.readouterr().err
