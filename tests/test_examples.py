"""The programs of `examples/`: each runs offline, in an empty folder, and prints what it found.

They need the extra `examples`. `.ci/run` runs the notebook and what takes seconds, the nightly job the rest.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ultralytics import YOLO

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = {file.stem: file for file in sorted(EXAMPLES.glob("*.py"))}


@pytest.mark.parametrize("file", PROGRAMS.values(), ids=PROGRAMS)
def test_an_example_is_short_and_says_how_to_call_it(file: Path):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 42
    assert f"Usage: python {file.name}" in text


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of `train.py` after a few epochs, beside what it printed last."""
    folder = tmp_path_factory.mktemp("learned")
    command = [sys.executable, str(PROGRAMS["train"]), "10"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    printed = re.fullmatch(r"mAP50-95 (0\.\d{3}), weights in (.*)", done.stdout.splitlines()[-1])
    assert printed, done.stdout[-500:]
    assert float(printed[1]) > 0
    return folder / printed[2]


@pytest.mark.slow
def test_train_writes_a_checkpoint_that_can_be_loaded(learned: Path):
    assert YOLO(learned).task == "detect"


@pytest.mark.slow
@pytest.mark.ci
def test_transplant_makes_a_trained_model_lighter(python, tmp_path: Path):
    model = YOLO("yolo11n.yaml")
    model.model.args = {"task": "detect"}
    torch.save({"model": model.model, "train_args": {"task": "detect", "imgsz": 64}}, tmp_path / "stock.pt")
    printed = python(str(PROGRAMS["transplant"]), "stock.pt", "1").stdout
    before, after = (int(count.replace(",", "")) for count in re.findall(r"^\w+: ([\d,]+) parameters", printed, re.M))
    assert after < before
    assert (tmp_path / printed.splitlines()[-1].removeprefix("written to ")).is_file()


@pytest.mark.slow
def test_supervision_tracks_the_objects_of_a_trained_model(python, tmp_path: Path, learned: Path):
    pytest.importorskip("supervision", reason="the extra `examples` is not installed")
    shutil.copy(learned, tmp_path / "best.pt")
    printed = python(str(PROGRAMS["supervision_tracking"]), "best.pt").stdout.splitlines()[-1]
    assert int(re.match(r"(\d+) objects tracked over 24 frames, \d+ crossed the line", printed)[1]) > 0
    assert (tmp_path / "tracked.mp4").stat().st_size > 1000


@pytest.mark.slow
def test_slices_of_sahi_find_more_than_the_whole_image(python, tmp_path: Path, learned: Path):
    pytest.importorskip("sahi", reason="the extra `examples` is not installed")
    shutil.copy(learned, tmp_path / "best.pt")
    printed = python(str(PROGRAMS["sahi_slicing"]), "best.pt").stdout.splitlines()[-1]
    whole, slices = map(int, re.match(r"(\d+) objects in the whole image, (\d+) in its slices", printed).groups())
    assert slices > whole
    assert (tmp_path / "sliced.png").is_file()
