"""The fixtures of conftest.py: a test that changes global state changes nothing for the next one."""

from pathlib import Path

CODE = """
import os, random, sys
import numpy as np, torch, ultralytics, yolo_starnet
from ultralytics.utils.callbacks.base import default_callbacks

DRAWN = []

def state():
    return {
        "environment": dict(os.environ) | {"PYTEST_CURRENT_TEST": ""},
        "settings": dict(ultralytics.settings),
        "folder is empty": not os.listdir(),
        "random": (random.random(), np.random.rand(), torch.rand(1).item()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "active": yolo_starnet.is_active(),
        "log level": ultralytics.utils.LOGGER.level,
        "threads": torch.get_num_threads(),
        "argv": sys.argv[:],
        "callbacks": {event: len(callbacks) for event, callbacks in default_callbacks.items()},
    }

def test_changes_all_of_it():
    DRAWN.append(state())
    os.environ["MINE"] = "1"
    del os.environ["YOLO_OFFLINE"]
    ultralytics.settings.update({"runs_dir": os.getcwd()})
    open("file", "w").close()
    torch.use_deterministic_algorithms(True)
    yolo_starnet.deactivate()
    ultralytics.utils.LOGGER.setLevel(50)
    torch.set_num_threads(3)
    sys.argv.append("mine")
    default_callbacks["on_train_start"].append(print)
    default_callbacks["mine"] = [print]
    changed = state()
    assert [key for key, value in DRAWN[0].items() if value == changed[key]] == []

def test_finds_it_as_it_was():
    now = state()
    assert {key: value for key, value in now.items() if value != DRAWN[0][key]} == {}
"""


def test_a_test_that_changes_global_state_leaves_it_as_it_was(tmp_path: Path, python):
    (tmp_path / "test_mine.py").write_text(CODE)
    arguments = ["-p", "conftest", "-p", "no:cacheprovider", "-p", "no:xdist", "test_mine.py"]
    done = python("-m", "pytest", *arguments, check=False, PYTHONPATH=str(Path(__file__).parent))
    assert done.returncode == 0, done.stdout
