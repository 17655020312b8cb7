"""`yolo-starnet enable`: plain `yolo` knows StarNet, at no cost, and it can be taken back."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import ultralytics
from ultralytics.utils.checks import parse_version

from yolo_starnet.commands import enable, startup_hook

MODEL = "yolo11n-starnet.yaml" if parse_version(ultralytics.__version__) >= (8, 3) else "yolov8n-starnet.yaml"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site-packages of a new environment that also sees every package of this one."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, symlinks=os.name != "nt")
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(root), "platbase": str(root)}))
    folders = [p for p in sys.path if p and Path(p).is_dir() and "site-packages" in p]
    folders.append(str(Path(enable.__file__).parents[2]))
    (site / "a_this.pth").write_text("\n".join(folders))
    return site


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """Run Python in that environment."""
    folder = Path(sysconfig.get_path("scripts", "venv", vars={"base": str(environment.parents[2])}))
    program = folder / ("python.exe" if os.name == "nt" else "python")

    # Its packages come from its own site-packages alone.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def enabled(environment: Path):
    """The environment with `enable` in force."""
    enable.enable(environment)
    yield environment
    enable.disable(environment)


def test_plain_yolo_trains_a_starnet_model(enabled: Path, run: Run, tmp_path: Path):
    small = ["data=shapes", "imgsz=64", "epochs=1", "fraction=0.1", "workers=0", "plots=False", f"project={tmp_path}"]
    code = "import sys; from ultralytics.cfg import entrypoint; entrypoint()"
    run("-c", code, "detect", "train", f"model={MODEL}", *small, "name=run")
    assert (tmp_path / "run" / "weights" / "last.pt").is_file()


def test_deactivation_still_puts_every_object_back(enabled: Path, run: Run):
    run(
        "-c",
        "import ultralytics.nn as nn, sys\nfrom ultralytics.nn import tasks\nimport yolo_starnet\n"
        "assert yolo_starnet.is_active() and nn.parse_model is tasks.parse_model\n"
        "yolo_starnet.deactivate()\n"
        "assert nn.parse_model is tasks.parse_model and 'yolo_starnet' not in tasks.parse_model.__code__.co_filename",
    )


def test_nothing_is_imported_until_ultralytics_is(environment: Path, run: Run):
    code = "import sys; print(sorted(sys.modules))"
    before = run("-c", code).stdout
    enable.enable(environment)
    assert run("-c", code).stdout == before
    enable.disable(environment)


def test_python_starts_without_a_word_when_the_package_is_gone(enabled: Path, run: Run):
    paths = enabled / "a_this.pth"
    before = paths.read_text()
    paths.write_text("\n".join(p for p in before.splitlines() if not (Path(p) / "yolo_starnet").exists()))
    try:
        done = run("-c", "import importlib.util as u; assert u.find_spec('yolo_starnet') is None")
    finally:
        paths.write_text(before)
    assert (done.stdout, done.stderr) == ("", "")


def test_ultralytics_works_when_the_plugin_does_not_fit_it(enabled: Path, run: Run, tmp_path: Path):
    (tmp_path / "yolo_starnet").mkdir()
    (tmp_path / "yolo_starnet" / "__init__.py").write_text("raise ImportError('made for another release')")
    done = run("-c", "import sys; sys.path.insert(0, ''); import ultralytics.nn.tasks as t; print(t.parse_model)")
    assert "<function parse_model" in done.stdout
    assert "yolo-starnet is enabled in this environment, but it is not active: made for another release" in done.stderr


def test_python_starts_without_a_word_when_ultralytics_is_gone(enabled: Path, run: Run):
    code = "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
    code += "try:\n    import ultralytics.nn\nexcept ModuleNotFoundError as error:\n    print(error.name)"
    done = run("-c", code)
    assert (done.stdout.strip(), done.stderr) == ("ultralytics", "")


def test_the_hook_is_installed_once_and_finds_nothing_but_ultralytics(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    count = len(sys.meta_path)
    startup_hook.install()
    startup_hook.install()
    assert len(sys.meta_path) == count + 1
    assert sys.meta_path[0].find_spec("json") is None
    assert len(sys.meta_path) == count + 1


def test_the_file_is_one_line_that_site_executes(tmp_path: Path):
    lines = enable.enable(tmp_path).read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("import ")  # site takes every other line for a path


def test_disable_leaves_no_file_behind(environment: Path):
    before = sorted(environment.iterdir())
    file = enable.enable(environment)
    assert sorted(environment.iterdir()) == sorted([*before, file])
    assert enable.disable(environment)
    assert sorted(environment.iterdir()) == before
    assert not enable.disable(environment)
