"""`yolo-starnet enable`: plain `yolo` knows StarNet, at no cost, and it can be taken back."""

import importlib.util
import os
import runpy
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ultralytics
from ultralytics.utils.checks import parse_version

from yolo_starnet import cli
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
    small = ["data=shapes", "imgsz=64", "epochs=1", "fraction=0.025", "workers=0", "plots=False", f"project={tmp_path}"]
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
    # Python itself resolves the name in a .start file, with modules of its own.
    code = "import pkgutil, sys; pkgutil.resolve_name('sys:path'); print(sorted(sys.modules))"
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


FIRST = ["nn.tasks", "utils", "models.yolo.detect"]
"""Submodules whose imports begin in different places, for every run; the others are slow."""
CHECK = """
import importlib, sys
importlib.import_module(sys.argv[1])
assert "yolo_starnet" in sys.modules and sys.modules["yolo_starnet"].is_active()
"""


def submodules() -> Iterator[str]:
    """The name of every module in the folder of Ultralytics. None is imported."""
    root = Path(ultralytics.__file__).parent
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(
    "name",
    [n if n.removeprefix("ultralytics.") in FIRST else pytest.param(n, marks=pytest.mark.slow) for n in submodules()],
)
def test_every_submodule_may_be_the_first_import(name: str, environment: Path, run: Run):
    enable.enable(environment)
    try:
        done = run("-c", CHECK, name, check=False)
    finally:
        enable.disable(environment)
    if done.returncode or done.stderr:  # then it needs a package that is not here
        stock = run("-c", CHECK.partition("assert")[0], name, check=False)
        assert (done.returncode, done.stderr) == (stock.returncode, stock.stderr)
    assert "yolo_starnet" not in done.stderr


@pytest.mark.parametrize(
    "module", ["ultralytics.engine.exporter", pytest.param("ultralytics.nn.tasks", marks=pytest.mark.slow)]
)
def test_a_module_run_as_a_program_says_no_more_than_in_stock(module: str, environment: Path, run: Run):
    stock = run("-m", module)
    enable.enable(environment)
    done = run("-m", module)
    enable.disable(environment)
    assert {*done.stderr.splitlines()} <= {*stock.stderr.splitlines()}


def test_a_spawned_process_knows_the_models_and_says_nothing(enabled: Path, run: Run, tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "import multiprocessing\n"
        "def count(name):\n"
        "    from ultralytics.nn import tasks\n"
        "    return len(tasks.DetectionModel(name, verbose=False).model)\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        f"        print(pool.apply(count, [{MODEL!r}]))\n"
    )
    done = run("mine.py")
    assert int(done.stdout.split()[-1]) > 10
    assert done.stderr == ""


def test_who_asks_whether_ultralytics_is_there_does_not_switch_it_off(enabled: Path, run: Run):
    code = "import importlib.util as u\nassert u.find_spec('ultralytics')\n"
    code += "try:\n    u.find_spec('ultralytics.nothing')\nexcept ImportError:\n    pass\n"
    done = run("-c", code + CHECK, "ultralytics.nn.tasks")
    assert done.stderr == ""


def test_a_failed_first_import_does_not_switch_it_off(enabled: Path, run: Run):
    code = "import sys\nsys.modules['cv2'] = None\n"
    code += "try:\n    import ultralytics\nexcept ImportError:\n    del sys.modules['cv2']\n"
    code += "assert 'ultralytics' not in sys.modules and 'cv2' not in sys.modules\n"
    done = run("-c", code + CHECK, "ultralytics.nn.tasks")
    assert done.stderr == ""


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sys.meta_path` with the hook, as at startup."""
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    startup_hook.install()


def test_the_hook_is_installed_once_and_finds_nothing_but_ultralytics(hooked: None):
    count = len(sys.meta_path)
    startup_hook.install()
    assert len(sys.meta_path) == count
    assert sys.meta_path[0].find_spec("json") is None
    assert sys.meta_path[0].find_spec("ultralytics.nn") is None


def test_the_module_keeps_its_own_loader_and_the_hook_goes(hooked: None):
    spec = importlib.util.spec_from_file_location("ultralytics", ultralytics.__file__)
    found = sys.meta_path[0].find_spec("ultralytics")
    assert (found.origin, found.loader.is_package("ultralytics")) == (spec.origin, True)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert type(module.__loader__) is type(module.__spec__.loader) is type(spec.loader)
    assert not any(isinstance(finder, startup_hook.YOLOStarNetHook) for finder in sys.meta_path)


def test_a_loader_that_serves_many_modules_activates_after_the_package_alone(enabled: Path, run: Run, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("ultralytics/__init__.py", "from . import inner\n")
        archive.writestr("ultralytics/inner.py", "import sys\nearly = 'yolo_starnet' in sys.modules\n")
        archive.writestr("yolo_starnet.py", "import ultralytics.inner as inner\nprint(inner.__file__, inner.early)\n")
    done = run("-c", "import sys; sys.path.insert(0, 'all.zip'); import ultralytics")
    assert done.stderr == ""
    assert done.stdout.split() == [str(Path("all.zip", "ultralytics", "inner.py")), "False"]


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ((3, 10), ["py", "pth"]),
        ((3, 14), ["py", "pth"]),
        ((3, 15), ["py", "pth", "start"]),
        ((3, 17), ["py", "pth", "start"]),
        ((3, 18), ["py", "start"]),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_each_python_gets_the_startup_files_that_it_reads(tmp_path: Path, version: tuple[int, int], names: list[str]):
    file = enable.enable(tmp_path, version)
    assert file.suffix == f".{names[-1]}"
    assert {f.name for f in tmp_path.iterdir()} == {f"{enable.NAME}.{name}" for name in names}
    for startup in (f for f in tmp_path.iterdir() if f.suffix != ".py"):
        (line,) = startup.read_text().splitlines()
        # As in PEP 829. What scanners look for in a .pth file is code of its own, such as exec().
        expected = {".pth": "import {0}; {0}.install()", ".start": "{0}:install"}[startup.suffix]
        assert line == expected.format(enable.NAME)
    assert callable(runpy.run_path(str(tmp_path / f"{enable.NAME}.py"))["install"])
    assert enable.disable(tmp_path)
    assert not list(tmp_path.iterdir())


def test_disable_leaves_no_file_behind(environment: Path, run: Run):
    before = sorted(environment.rglob("*"))
    file = enable.enable(environment)
    run("-c", "")  # Python compiles what it reads
    assert file.is_file()
    assert enable.disable(environment)
    assert sorted(environment.rglob("*")) == before
    assert not enable.disable(environment)


def test_enable_replaces_what_an_earlier_version_wrote(environment: Path, run: Run):
    (environment / f"{enable.NAME}.pth").write_text("import sys; exec('raise SystemExit(3)')\n")
    enable.enable(environment)
    done = run("-c", CHECK, "ultralytics.nn.tasks")
    assert done.stderr == ""
    assert enable.disable(environment)


@pytest.mark.parametrize("blocked", ["py", "pth", "folder", "no folder"])
def test_a_folder_that_cannot_be_written_is_named_and_left_as_it_was(blocked: str, tmp_path: Path, monkeypatch, capsys):
    site = tmp_path / "site"
    if blocked == "folder":
        site.write_text("")
    elif blocked != "no folder":
        (site / f"{enable.NAME}.{blocked}").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(enable, "_site_packages", lambda: site)
    assert cli.main(["enable"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"yolo-starnet: the startup files in {site} cannot be written (")
    assert "run this as the owner of that folder" in line
    assert sorted(tmp_path.rglob("*")) == before
    assert cli.main(["disable"]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_cannot_be_deleted_is_named(tmp_path: Path, monkeypatch, capsys):
    enable.enable(tmp_path)

    def unlink(file: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "unlink", unlink)  # these tests may run as root, who may delete every file
    monkeypatch.setattr(enable, "_site_packages", lambda: tmp_path)
    assert cli.main(["disable"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"yolo-starnet: the startup files in {tmp_path} cannot be deleted (")


def test_a_full_disk_leaves_no_startup_file(tmp_path: Path, python):
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom yolo_starnet.commands import enable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "enable.enable(Path(sys.argv[1]))\n"
    )
    (tmp_path / "site").mkdir()
    done = python("-c", code, str(tmp_path / "site"), check=False)
    assert "ConfigError: the startup files in" in done.stderr
    assert not list((tmp_path / "site").iterdir())
