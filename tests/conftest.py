"""What every test shares: settings of their own, a data set, and an Ultralytics left as it was found."""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before anything imports Ultralytics: settings, fonts and configs of this run only, no network, no installs.
_CONFIG_DIR = tempfile.TemporaryDirectory(prefix="yolo-starnet-tests-")
os.environ.update(YOLO_CONFIG_DIR=_CONFIG_DIR.name, YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
os.environ.pop("ULTRALYTICS_SAFE_LOAD", None)

import torch
import ultralytics

import yolo_starnet

REFERENCE = (Path(__file__).parent / "data" / "reference.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def _settings() -> None:
    """Data sets and runs go where this run's settings lie; child processes read the same file."""
    ours = {"datasets_dir": f"{_CONFIG_DIR.name}/datasets", "runs_dir": f"{_CONFIG_DIR.name}/runs"}
    reach_out = {"hub": False, "sync": False}  # 8.1 cannot train at all where its server does not answer
    ultralytics.settings.update({**ours, **{k: v for k, v in reach_out.items() if k in ultralytics.settings}})


@pytest.fixture(autouse=True)
def _restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a folder of its own, seeded, and leave the plugin active."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    yield
    yolo_starnet.activate()


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """The reference YAML, as a user of the tutorial has it, under a name that gives scale n."""
    file = tmp_path / "my-yolo11n.yaml"
    file.write_text(REFERENCE, encoding="utf-8")
    return file


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The lines that Ultralytics logs."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.extend(record.getMessage().splitlines())  # type: ignore[method-assign]
    ultralytics.utils.LOGGER.addHandler(handler)
    yield lines
    ultralytics.utils.LOGGER.removeHandler(handler)


@pytest.fixture(scope="session")
def photograph() -> Path:
    """A photograph that Ultralytics ships, 1080 x 810 pixels."""
    return Path(ultralytics.utils.ASSETS) / "bus.jpg"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a YOLO11n-StarNet trained for two short epochs on the built-in set."""
    return train("yolo11n-starnet.yaml", tmp_path_factory.mktemp("trained"), epochs=2)


def train(model: str | Path, folder: Path, **arguments: object) -> Path:
    """Train on a part of the built-in set and return the run folder."""
    defaults = {"data": "shapes", "imgsz": 64, "batch": 16, "fraction": 0.25, "workers": 0, "plots": False}
    # Gently: in a few steps at a bias learning rate of 0.1, the default, products of products outrun the statistics of
    # the BatchNorms, and the model's outputs in eval mode are no longer numbers.
    gently = {"optimizer": "AdamW", "lr0": 0.001, "warmup_bias_lr": 0.0}
    yolo = ultralytics.YOLO(model)
    yolo.train(**{**defaults, **gently, "project": str(folder), "name": "run", **arguments})
    return Path(yolo.trainer.save_dir)


def graph_of(name: str) -> list[torch.Tensor]:
    """Every weight of a fresh model and every tensor that it returns for one image, the same for the same code."""
    torch.manual_seed(0)
    model = (ultralytics.RTDETR if "rtdetr" in name else ultralytics.YOLO)(name).model
    with torch.no_grad():
        found = model.eval()(torch.rand(1, 3, 64, 64))
    flat: list[torch.Tensor] = list(model.state_dict().values())

    def walk(x: object) -> None:
        if isinstance(x, torch.Tensor):
            flat.append(x)
        for y in x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else ():
            walk(y)

    walk(found)
    return flat


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in a process of its own, in an empty folder; it must end well unless `check=False`."""

    def run(*arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return run
