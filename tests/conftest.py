"""What every test shares: global state that is put back, a trained model, and processes to run Python in."""

import importlib.util
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

# Set before Ultralytics is imported: settings, fonts and configs of this run only, no network, no installs.
_CONFIG_DIR = tempfile.TemporaryDirectory(prefix="yolo-starnet-tests-")
os.environ.update(YOLO_CONFIG_DIR=_CONFIG_DIR.name, YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
os.environ["PIP_NO_INDEX"] = "1"  # MNN's converter runs `pip install`, with the first pip on PATH
os.environ.pop("ULTRALYTICS_SAFE_LOAD", None)

import numpy as np
import torch
import ultralytics
from ultralytics.utils.callbacks.base import default_callbacks

import yolo_starnet
from yolo_starnet import plugins

REFERENCE = (Path(__file__).parent / "data" / "reference.yaml").read_text(encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("skips")
    group.addoption("--no-skips", action="store_true", help="a skipped test fails, for CI that has all a test needs")
    group.addoption(
        "--allow-skip", action="append", default=[], metavar="TEXT", help="skips whose reason holds TEXT stay skips"
    )


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    if not report.skipped or hasattr(report, "wasxfail") or not config.getoption("no_skips"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(text in reason for text in config.getoption("allow_skip")):
        report.outcome = "failed"
        report.longrepr = f"--no-skips: {report.nodeid} was skipped. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report, collector.config)
    return report


# Global state: one fixture for each piece, which is after every test as it was before.


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """The environment variables. Training sets some, such as CUDA_VISIBLE_DEVICES and CUBLAS_WORKSPACE_CONFIG."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def _run_settings() -> None:
    """Data sets and runs go into the folder of this run's settings; child processes read the same file."""
    folders = {"datasets_dir": f"{_CONFIG_DIR.name}/datasets", "runs_dir": f"{_CONFIG_DIR.name}/runs"}
    offline = {"hub": False, "sync": False}  # 8.1 cannot train at all where its server does not answer
    ultralytics.settings.update({**folders, **{k: v for k, v in offline.items() if k in ultralytics.settings}})


@pytest.fixture(autouse=True)
def _settings(_run_settings: None) -> Iterator[None]:
    """The settings of Ultralytics, and the file that holds them."""
    before = dict(ultralytics.settings)
    yield
    if dict(ultralytics.settings) != before:
        ultralytics.settings.update(before)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory: every test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """The random numbers of Python, NumPy and torch: the same at the start of every test."""
    random.seed(0)
    np.random.seed(0)  # Ultralytics draws from the legacy generator
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    """Whether torch may only take deterministic algorithms, which an interrupted training leaves switched on."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@pytest.fixture(autouse=True)
def _active() -> Iterator[None]:
    """Whether the plugin is active: it is at the start of every test."""
    yolo_starnet.activate()
    yield
    yolo_starnet.activate()


@pytest.fixture(autouse=True)
def _plugin_table() -> Iterator[None]:
    """The table of plugins. The patches keep the first one, so a test that needs another runs in a new process."""
    before, names = plugins.table(), list(plugins.table())
    yield
    assert plugins.table() is before
    assert list(before) == names


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """The level of Ultralytics' logger."""
    before = ultralytics.utils.LOGGER.level
    yield
    ultralytics.utils.LOGGER.setLevel(before)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """The threads of torch, whose number Ultralytics changes when it trains on a CPU."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _argv() -> Iterator[None]:
    """The command line, in place: Ultralytics holds this very list."""
    before = sys.argv[:]
    yield
    sys.argv[:] = before


@pytest.fixture(autouse=True)
def _callbacks() -> Iterator[None]:
    """The callbacks that Ultralytics gives to every trainer."""
    before = {event: callbacks[:] for event, callbacks in default_callbacks.items()}
    yield
    for event in default_callbacks.keys() - before.keys():
        del default_callbacks[event]
    for event, callbacks in before.items():
        default_callbacks[event][:] = callbacks


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """The YAML of the tutorials, under a file name that gives scale n."""
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
    defaults = {"data": "shapes", "imgsz": 64, "batch": 16, "fraction": 0.0625, "workers": 0, "plots": False}
    # The default bias learning rate of 0.1 is too high for a training of a few steps. The products of star blocks grow
    # faster than the running statistics of their BatchNorms, and the outputs in eval mode become NaN.
    gently = {"optimizer": "AdamW", "lr0": 0.001, "warmup_bias_lr": 0.0}
    yolo = ultralytics.YOLO(model)
    yolo.train(**{**defaults, **gently, "project": str(folder), "name": "run", **arguments})
    return Path(yolo.trainer.save_dir)


def graph_of(name: str) -> list[torch.Tensor]:
    """Every weight of a fresh model and every tensor that it returns for one image, the same for the same code."""
    torch.manual_seed(0)
    model = (ultralytics.RTDETR if "rtdetr" in name else ultralytics.YOLO)(name).model
    with torch.no_grad():
        outputs = model.eval()(torch.rand(1, 3, 64, 64))
    flat: list[torch.Tensor] = list(model.state_dict().values())

    def walk(x: object) -> None:
        if isinstance(x, torch.Tensor):
            flat.append(x)
        for y in x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else ():
            walk(y)

    walk(outputs)
    return flat


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in a new process, in an empty folder. Its exit status must be 0 unless `check=False`."""

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


@pytest.fixture
def plugin_table() -> Iterator[plugins.Table]:
    """The table of plugins that the plugin is active with. What a test adds is gone after the test."""
    table = plugins.table()
    names, layers, modules = dict(table), dict(table.layers), dict(table.modules)
    yield table
    yolo_starnet.deactivate()  # takes the classes of the test out of Ultralytics
    table.clear()
    table.update(names)
    table.layers, table.modules = layers, modules


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Install the package in a folder as pip does, and return the folder that it was installed into."""

    def run(package: Path) -> Path:
        site, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source")
        # A copy, since a build writes beside its source.
        shutil.copytree(package, source, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "build"))
        if importlib.util.find_spec("pip"):
            installer = [sys.executable, "-m", "pip", "install"]
        else:
            uv = shutil.which("uv") or pytest.skip("neither pip nor uv is here")
            installer = [uv, "pip", "install", "--python", sys.executable]
        options = ["-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
        done = subprocess.run([*installer, *options, str(source)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return site

    return run
