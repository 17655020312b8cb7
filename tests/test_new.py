"""`yolo-starnet new`: the package that it writes installs and passes its own test; bad names leave nothing behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from yolo_starnet import cli
from yolo_starnet.commands import new
from yolo_starnet.errors import ConfigError
from yolo_starnet.model_yaml import names

ROOT = Path(__file__).parents[1]
LONGEST = "w" * 15 + "-" + "w" * 16


def own_test(folder: Path, site: Path | None) -> subprocess.CompletedProcess[str]:
    """Run the test that was written, in a process that knows the packages installed in `site`."""
    path = os.pathsep.join(filter(None, [str(site or ""), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "pytest", "-q", str(folder)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize("kind", new.KINDS)
def test_it_writes_module_test_readme_and_the_entry_point(kind: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["new", "My-own_thing", f"kind={kind}"]) == 0
    folder = Path("My-own_thing")
    assert f"pip install -e {folder} && pytest {folder}" in capsys.readouterr().out
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    tests = {"tests/conftest.py", "tests/reload.py", "tests/test_my_own_thing.py"}
    assert files == {"README.md", "pyproject.toml", "src/my_own_thing.py", *tests}
    project = (folder / "pyproject.toml").read_text()
    assert 'name = "my-own-thing"' in project
    assert '[project.entry-points.yolo_starnet]\nmy_own_thing = "my_own_thing"' in project
    assert "class MyOwnThing(nn.Module)" in (folder / "src" / "my_own_thing.py").read_text()
    readme = (folder / "README.md").read_text()
    assert "No YAML, no checkpoint and no environment variable ever makes yolo-starnet import a file" in readme
    assert ("[-1, 1, MyOwnThing, " if kind == "layer" else "[-1, 1, my_own_thing, ") in readme


@pytest.mark.parametrize("kind", new.KINDS)
def test_no_placeholder_is_left_and_the_folder_is_readable(kind: str):
    folder = new.new("my-thing", kind, out="elsewhere")
    assert folder == Path("elsewhere")
    assert folder.stat().st_mode & 0o777 == 0o755
    assert not [file for file in folder.rglob("*") if file.is_file() and "$" in file.read_text()]
    assert [file.name for file in Path.cwd().iterdir()] == ["elsewhere"]


@pytest.mark.parametrize("kind", new.KINDS)
@pytest.mark.parametrize("name", ["a", "my-thing", LONGEST], ids=["one letter", "usual", "32 letters"])
def test_what_it_writes_is_clean_by_the_rules_of_this_project(kind: str, name: str, tmp_path: Path):
    ruff = shutil.which("ruff") or pytest.skip("ruff is not here")
    folder = tmp_path / new.new(name, kind)
    for command in (["check"], ["format", "--check"]):
        run = [ruff, *command, "--no-cache", "--config", str(ROOT / "pyproject.toml"), str(folder)]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        pytest.param("2nd", "layer", "'2nd' cannot name a package; expected at most 32 letters", id="digit first"),
        pytest.param("-x", "layer", "'-x' cannot name a package", id="dash first"),
        pytest.param("x-", "layer", "'x-' cannot name a package", id="dash last"),
        pytest.param("my.net", "layer", "'my.net' cannot name a package", id="dot"),
        pytest.param("../net", "layer", "'../net' cannot name a package", id="path"),
        pytest.param("netz-für-mich", "layer", "cannot name a package", id="umlaut"),
        pytest.param("a" * 33, "layer", "cannot name a package", id="33 letters"),
        pytest.param("", "layer", "'' cannot name a package", id="empty"),
        pytest.param("class", "layer", "'class' is a name of Python", id="keyword"),
        pytest.param("none", "layer", "'None' is a name of Python", id="keyword as a class"),
        pytest.param("exception", "layer", "'Exception' is a name of Python", id="builtin"),
        pytest.param("winreg", "layer", "a module 'winreg' exists already", id="standard library elsewhere"),
        pytest.param("json", "backbone", "a module 'json' exists already", id="standard library"),
        pytest.param("Pluggy", "layer", "a module 'pluggy' exists already", id="installed module"),
        pytest.param("pyyaml", "layer", "a package 'pyyaml' is installed", id="installed package"),
        pytest.param("row-layer", "layer", "the generated files use 'RowLayer'", id="import of the template"),
        pytest.param("concat", "layer", "'Concat' is a name of Ultralytics", id="layer of Ultralytics"),
        pytest.param("parse-model", "backbone", "'parse_model' is a name of Ultralytics", id="function of Ultralytics"),
        pytest.param("starnet-s1", "backbone", "'starnet_s1' is a registered", id="registered backbone"),
        pytest.param("star-fuse", "layer", "'StarFuse' is a registered", id="registered layer"),
        pytest.param("seg", "backbone", "'seg' has a meaning of its own in the names of models", id="suffix of a task"),
        pytest.param("timm-net", "backbone", "'timm_net' has a meaning of its own", id="prefix of timm"),
        pytest.param("my-net", "layers", "kind= must be backbone or layer, found 'layers'; did you mean", id="kind"),
    ],
)
def test_a_bad_name_or_kind_is_refused_and_nothing_is_written(name: str, kind: str, reason: str):
    with pytest.raises(ConfigError) as error:
        new.new(name, kind)
    assert reason in str(error.value)
    assert not list(Path.cwd().iterdir())


def test_a_folder_that_exists_is_left_as_it_is():
    Path("my-net").mkdir()
    with pytest.raises(ConfigError, match="my-net exists and is left as it is; give another folder with out="):
        new.new("my-net", "layer")
    assert not list(Path("my-net").iterdir())


def test_a_folder_to_write_into_must_exist():
    with pytest.raises(ConfigError, match="away is no folder; create that first"):
        new.new("my-net", "layer", out="away/my-net")
    assert not list(Path.cwd().iterdir())


def test_a_failure_half_way_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch):
    templates = Path("templates")
    shutil.copytree(new.TEMPLATES, templates)
    (templates / "layer" / "README.md.tmpl").unlink()
    (templates / "layer" / "README.md.tmpl").symlink_to("nowhere")  # listed, but cannot be read
    monkeypatch.setattr(new, "TEMPLATES", templates)
    with pytest.raises(ConfigError, match="my-net cannot be written"):
        new.new("my-net", "layer")
    assert [file.name for file in Path.cwd().iterdir()] == ["templates"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["kind=layer"], "'new' needs name=, its name, such as my-attention"),
        (["my-net"], "'new' needs kind=, backbone or layer"),
        (["my-net", "kind=layer", "other"], "'new' has no argument 'other'"),
    ],
    ids=["no name", "no kind", "two words"],
)
def test_a_command_line_that_lacks_something_says_what(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["new", *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"yolo-starnet: {reason}")
    assert not list(Path.cwd().iterdir())


def test_help_says_that_nothing_but_an_installed_package_adds_names(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["new", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith("usage: yolo-starnet new [name=]NAME kind=... [out=...]")
    assert "no YAML, no checkpoint and no environment variable ever imports a file" in printed


needs_yolo11 = pytest.mark.skipif(names.stock_file("yolo11.yaml") is None, reason="this release has no YOLO11")


@needs_yolo11
@pytest.mark.slow
@pytest.mark.parametrize("kind", new.KINDS)
def test_its_own_test_passes_once_it_is_installed(kind: str, install):
    folder = new.new("my-thing", kind)
    done = own_test(folder, install(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


@needs_yolo11
@pytest.mark.parametrize("kind", new.KINDS)
def test_its_own_test_fails_where_it_is_not_installed(kind: str):
    done = own_test(new.new("my-thing", kind), None)
    assert done.returncode == 1
    assert "not registered; run: pip install -e ." in done.stdout
    assert "passed" not in done.stdout.splitlines()[-1]


@needs_yolo11
@pytest.mark.slow
def test_its_own_test_fails_where_weights_do_not_survive(install):
    folder = new.new("my-thing", "layer")
    module = folder / "src" / "my_thing.py"
    forgetful = (
        "    def __setstate__(self, state):\n"
        "        super().__setstate__(state)\n"
        "        nn.init.normal_(self.gate[1].weight)  # drawn again when a checkpoint is loaded\n\n"
    )
    module.write_text(module.read_text().replace("    def forward", forgetful + "    def forward", 1))
    done = own_test(folder, install(folder))
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "test_a_fresh_process_loads_the_trained_checkpoint" in done.stdout
    assert "model.10.gate.1.weight changed between saving and loading" in done.stdout
