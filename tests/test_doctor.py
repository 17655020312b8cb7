"""`yolo-starnet doctor`: it says what does not fit and what mends it, also where the plugin cannot be active."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import ultralytics
from ultralytics.nn import tasks

import yolo_starnet
from yolo_starnet import cli
from yolo_starnet.commands import doctor, doctor_machine, enable
from yolo_starnet.commands.doctor_finding import Finding

ROOT = Path(yolo_starnet.__file__).parents[1]
Doctor = Callable[..., dict[str, list[Finding]]]


@pytest.fixture
def run(python, tmp_path: Path) -> Doctor:
    """Run the command in a new process and return its findings; its exit status is 0 only where everything fits."""

    def run(*folders: Path, **environment: str) -> dict[str, list[Finding]]:
        if folders:
            environment["PYTHONPATH"] = os.pathsep.join(map(str, [*folders, ROOT]))
        done = python("-m", "yolo_starnet", "doctor", "--json", check=False, **environment)
        assert "Traceback" not in done.stderr
        report = json.loads(done.stdout)
        found = {name: [Finding(**line) for line in lines] for name, lines in report["sections"].items()}
        assert report["fits"] == (not problems(found))
        assert done.returncode == int(not report["fits"])
        return found

    return run


def problems(report: dict[str, list[Finding]]) -> list[Finding]:
    """What does not fit."""
    return [finding for findings in report.values() for finding in findings if finding.problem]


def stock_copy(folder: Path) -> Path:
    """Ultralytics as pip installed it, in a folder of its own; the file of the parser may be edited."""
    stock = Path(ultralytics.__file__).parent
    shutil.copytree(stock, folder / "ultralytics", ignore=shutil.ignore_patterns("*.jpg"))
    (info,) = stock.parent.glob("ultralytics-[0-9]*.dist-info")
    shutil.copytree(info, folder / info.name)
    return folder / "ultralytics" / "nn" / "tasks.py"


def package(folder: Path, name: str, source: str) -> Path:
    """A package with a plugin, as pip lays it out."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[yolo_starnet]\n{name} = {name}\n")
    (info / "top_level.txt").write_text(f"{name}\n")
    return folder


def test_a_good_environment_fits_and_the_report_says_what_is_where(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("Everything fits.\n")
    assert ultralytics.__file__ in printed
    assert all(f"\n{section}\n" in f"\n{printed}" for section in doctor.CHECKS)
    assert not any(line.startswith("!") for line in printed.splitlines())


def test_every_patch_is_listed_and_is_ours():
    found = {finding.name: finding.value for finding in doctor.examine()["patches"]}
    assert {"nn.tasks.parse_model", "nn.tasks.check_yaml", "BaseModel.load", "utils.dist.generate_ddp_file"} <= {*found}
    assert {value for name, value in found.items() if name != "classes"} == {"ours"}


def test_a_function_that_wraps_ours_fits_and_one_that_replaces_it_does_not(monkeypatch: pytest.MonkeyPatch):
    ours = tasks.parse_model

    def theirs(*args: object, **kwargs: object) -> object:
        return ours(*args, **kwargs)

    monkeypatch.setattr(tasks, "parse_model", theirs)
    assert [finding.name for finding in problems(doctor.examine())] == ["nn.tasks.parse_model"]
    theirs.__wrapped__ = ours  # type: ignore[attr-defined]  # what functools.wraps sets
    (found,) = [f for f in doctor.examine()["patches"] if f.name == "nn.tasks.parse_model"]
    assert found == ("nn.tasks.parse_model", f"ours, wrapped by {__name__}", "", "")


def test_a_deactivated_plugin_is_said_to_be_off():
    yolo_starnet.deactivate()
    report = doctor.examine()
    assert report["activation"] == [("yolo_starnet", "switched off by deactivate()", "", "")]
    assert report["patches"] == []


BROKEN = {
    "no_import": ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    "it_exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "no_python": ("def (", "SyntaxError: invalid syntax (no_python.py, line 1)"),
}
"""Plugin to its code and the error that it ends in."""


def test_every_broken_plugin_is_named_with_its_error_and_what_to_do(run: Doctor, tmp_path: Path):
    for name, (source, _) in BROKEN.items():
        package(tmp_path, name, source)
    report = run(tmp_path)
    assert {f.name: f.problem for f in problems(report)} == {name: reason for name, (_, reason) in BROKEN.items()}
    assert [f.mend for f in report["plugins"] if f.name == "it_exits"] == [
        "pip install -U it_exits yolo-starnet; or export YOLO_STARNET_DISABLE=it_exits"
    ]
    assert report["activation"] == [("yolo_starnet", "active", "", "")]


REPLACE = "from ultralytics.nn import tasks\ndef parse_model(d, ch):\n    pass\ntasks.parse_model = parse_model\n"


@pytest.mark.slow
def test_a_plugin_that_patches_the_parser_itself_is_named_and_left_out_by_the_command(run: Doctor, tmp_path: Path):
    site = package(tmp_path / "site", "patcher", REPLACE)
    (found,) = problems(run(site))
    assert "ultralytics.nn.tasks.parse_model was replaced by patcher" in found.problem
    assert found.mend == "export YOLO_STARNET_DISABLE=patcher"
    assert not problems(run(site, YOLO_STARNET_DISABLE="patcher"))


def test_a_program_that_patches_at_the_start_of_python_is_named(run: Doctor, tmp_path: Path):
    (tmp_path / "site").mkdir()
    hook = "import functools\nfrom ultralytics.utils import dist\nstock = dist.generate_ddp_file\n"
    hook += "@functools.wraps(stock)\ndef mine(trainer):\n    return stock(trainer)\ndist.generate_ddp_file = mine\n"
    (tmp_path / "site" / "my_patch.py").write_text(hook)
    (tmp_path / "site" / "sitecustomize.py").write_text("import my_patch")
    (found,) = problems(run(tmp_path / "site"))
    assert "ultralytics.utils.dist.generate_ddp_file was replaced by my_patch" in found.problem
    file = tmp_path / "site" / "my_patch.py"
    assert found.mend == f"mv {file} {file}.off"


def test_an_edited_parser_is_named_also_where_the_plugin_can_be_active(run: Doctor, tmp_path: Path):
    file = stock_copy(tmp_path / "host")
    file.write_text(file.read_text(encoding="utf-8") + "\n# an edit of the tutorials\n", encoding="utf-8")
    (file.parent / "starnet.py").write_text("def starnet_s1(): ...\n")
    report = run(tmp_path / "host")
    (found,) = problems(report)
    assert found.problem == "edited: ultralytics/nn/tasks.py; added: ultralytics/nn/starnet.py"
    mend = f"pip install --force-reinstall --no-deps ultralytics=={ultralytics.__version__}"
    assert found.mend == f"rm {file.parent / 'starnet.py'} && {mend}"
    assert report["activation"] == [("yolo_starnet", "active", "", "")]


def test_a_name_of_the_tutorials_in_the_parser_is_mended_by_a_clean_installation(run: Doctor, tmp_path: Path):
    file = stock_copy(tmp_path / "host")
    file.write_text(file.read_text(encoding="utf-8") + "\nstarnet_s1 = Conv\n", encoding="utf-8")
    found = {finding.name: finding for finding in problems(run(tmp_path / "host"))}
    assert {*found} == {"against the release", "starnet"}
    mend = f"pip install --force-reinstall --no-deps yolo-starnet ultralytics=={ultralytics.__version__}"
    assert found["starnet"].mend == mend


@pytest.mark.parametrize(
    "clone",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["a-clone", "installed-files-without-their-record"],
)
def test_a_package_that_is_not_installed_is_named_with_what_installs_it(python, tmp_path: Path, clone: bool):
    source = Path(yolo_starnet.__file__).parent
    shutil.copytree(source, tmp_path / "src" / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    if clone:
        (tmp_path / "pyproject.toml").touch()
    hide = "import importlib.metadata as m, sys; stock = m.entry_points; "
    hide += "m.entry_points = lambda **k: [] if k.get('group') == 'yolo_starnet' else stock(**k); "
    command = "sys.argv = ['doctor', 'doctor', '--json']; from yolo_starnet.__main__ import main; main()"
    done = python("-c", hide + command, check=False, PYTHONPATH=str(tmp_path / "src"))
    (found,) = [f for f in json.loads(done.stdout)["sections"]["plugins"] if f["problem"]]
    assert found["mend"] == f"pip install {tmp_path if clone else '--force-reinstall --no-deps yolo-starnet'}"


def test_every_patch_that_an_unsupported_release_refuses_is_named(run: Doctor, tmp_path: Path):
    file = stock_copy(tmp_path / "host")
    source = file.read_text(encoding="utf-8").replace("            c2 = ch[f]\n\n", "            c2 = ch[f] + 0\n\n")
    file.write_text(source)
    other = file.parents[1] / "utils" / "torch_utils.py"
    changed = other.read_text(encoding="utf-8").replace("weights(model)", "weights(net, model=0)")
    other.write_text(changed)
    found = [finding for finding in run(tmp_path / "host")["activation"] if finding.problem]
    assert [f.value for f in found] == ["not active"] * len(found)
    assert "parse_model has 0 branches" in found[0].problem
    assert any("ultralytics.nn.tasks.initialize_weights" in f.problem for f in found)
    assert {f.mend for f in found} == {"pip install -U yolo-starnet ultralytics"}


def test_an_ultralytics_that_cannot_be_imported_is_one_error_per_check_and_no_traceback(run: Doctor, tmp_path: Path):
    (tmp_path / "host" / "ultralytics").mkdir(parents=True)
    (tmp_path / "host" / "ultralytics" / "__init__.py").write_text("raise OSError('libGL.so.1 is missing')")
    report = run(tmp_path / "host")
    assert all("libGL.so.1 is missing" in found.problem for found in problems(report))
    assert {f.name for f in problems(report)} >= {"ultralytics", "yolo_starnet"}
    assert len(report["devices"]) == 3


def test_only_the_doctor_lives_where_the_plugin_cannot_be_active(python, tmp_path: Path):
    (tmp_path / "ultralytics").mkdir()
    (tmp_path / "ultralytics" / "__init__.py").write_text("raise OSError('broken')")
    for words in (["-m", "yolo_starnet", "models"], ["-c", "import yolo_starnet", "doctor"]):
        done = python(*words, check=False, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
        assert done.stderr.splitlines()[-1] == "OSError: broken"


def test_a_settings_folder_that_cannot_be_written_is_named(run: Doctor, tmp_path: Path):
    (tmp_path / "file").write_text("in place of a folder")
    found = problems(run(YOLO_CONFIG_DIR=str(tmp_path / "file")))
    assert [f.name for f in found] == ["settings"]
    assert str(tmp_path / "file") in found[0].problem
    assert found[0].mend == "export YOLO_CONFIG_DIR=A_FOLDER_OF_YOURS"


@pytest.mark.parametrize("key", ["datasets_dir", "weights_dir", "runs_dir"])
def test_a_folder_of_the_settings_that_cannot_be_written_is_named(key: str, tmp_path: Path):
    (tmp_path / "file").write_text("in place of a folder")
    ultralytics.settings.update({key: str(tmp_path / "file" / "folder")})
    (found,) = problems(doctor.examine())
    assert (found.name, found.mend) == (key, f"yolo settings {key}=A_FOLDER_OF_YOURS")
    assert found.problem == f"{tmp_path / 'file'} cannot be written: Not a directory"


def test_the_cache_of_grafts_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(ultralytics.utils, "USER_CONFIG_DIR", tmp_path)
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    (tmp_path / "yolo_starnet").write_text("in place of a folder")
    assert [f.name for f in problems(doctor.examine())] == ["grafted YAMLs"]
    assert [file.name for file in tmp_path.iterdir()] == ["yolo_starnet"]


def test_files_of_enable_that_are_not_of_this_release_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(doctor.doctor_host.sysconfig, "get_path", lambda name: str(tmp_path))
    enable.enable(tmp_path)
    assert Finding("enabled", str(tmp_path)) in doctor.examine()["enable"]
    (tmp_path / f"{enable.NAME}.py").write_text("# what an earlier release wrote")
    (found,) = problems(doctor.examine())
    assert found == (
        "enabled",
        str(tmp_path),
        f"missing or of another release: {enable.NAME}.py",
        "yolo-starnet enable",
    )


def test_a_package_of_a_version_that_the_plugin_refuses_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_machine, "_required", lambda: {"torch": "torch>=99"})
    (found,) = problems(doctor.examine())
    assert (found.name, found.problem, found.mend) == (
        "torch",
        "yolo-starnet needs torch>=99",
        "pip install -U 'torch>=99'",
    )


def test_a_plugin_that_is_imported_and_not_installed_is_named(run: Doctor, tmp_path: Path):
    (tmp_path / "site").mkdir()
    hide = "import importlib.metadata as m\nfound = m.entry_points\n"
    hide += "m.entry_points = lambda **k: found(**{**k, 'group': 'none'} if k.get('group') == 'yolo_starnet' else k)\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(hide)
    (found,) = problems(run(tmp_path / "site"))
    assert found.name == "yolo-starnet"
    assert found.mend == f"pip install {ROOT.parent}"


def test_ultralytics_in_a_checkout_is_compared_with_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=me", "-c", "user.email=me@example.org"]
    file = tmp_path / "ultralytics" / "__init__.py"
    file.parent.mkdir()
    file.write_text("")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "stock"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(ultralytics, "__file__", str(file))
    assert doctor.examine()["Ultralytics' files"] == [("against git", str(file.parent), "", "")]
    file.write_text("# an edit of the tutorials")
    (found,) = doctor.examine()["Ultralytics' files"]
    assert found.problem == "edited: ultralytics/__init__.py"
    assert found.mend == f"git -C {tmp_path} stash -u -- ultralytics"


def test_no_runtime_for_exported_files_is_a_fault():
    assert {f.name for f in doctor.examine()["export runtimes"]} == {*doctor_machine.RUNTIMES}
    assert not [f for f in doctor.examine()["export runtimes"] if f.problem]
