"""The table of plugins: what may be added to it, and what happens when a plugin is broken."""

import re
import sys
from pathlib import Path

import pytest
from torch import nn

from yolo_starnet import Backbone, Layer, backbones
from yolo_starnet.errors import PluginError
from yolo_starnet.networks.starnet import VARIANTS
from yolo_starnet.plugins import Table, load

OURS = [*VARIANTS, "starnet_fit", "timm"]
GOOD = """
from torch import nn
from yolo_starnet import Backbone, Layer, hookimpl

class PlainConv(nn.Conv2d):
    @staticmethod
    def out_channels(c1, c2, *_):
        return c2

def build(in_channels, *, width=1.0):
    channels = [in_channels, *(int(c * width) for c in (16, 32, 64, 128, 256))]
    return [Layer(PlainConv, (c1, c2, 3, 2, 1)) for c1, c2 in zip(channels, channels[1:])]

@hookimpl
def register_backbones(register):
    register(Backbone("plain", build, (PlainConv,)))
"""


class Level(nn.Identity):
    @staticmethod
    def out_channels(*_: object) -> int:
        return 8


def backbone(name: str = "mine", *modules: type[nn.Module]) -> Backbone:
    return Backbone(name, lambda in_channels: [Layer(Level, ())] * 5, modules or (Level,))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a one-module package with an entry point, as pip lays it out; it is gone after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[yolo_starnet]\n{name} = {name}\n")
        monkeypatch.delitem(sys.modules, name, raising=False)

    return install


def test_our_own_come_in_by_the_door_of_plugins():
    assert list(backbones())[: len(OURS)] == OURS
    assert list(load(reserved={}))[: len(OURS)] == OURS


def test_an_installed_package_adds_a_backbone(install):
    install("plain_plugin", GOOD)
    found = load(reserved={})["plain"]
    assert found.options == ("width",)
    assert [layer.channels for layer in found.build(3, width=0.5)] == [8, 16, 32, 64, 128]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        (GOOD.replace("(register):", "(register, more):"), "more"),
        (GOOD.replace('register(Backbone("plain"', '1 / 0; register(Backbone("plain"'), "division by zero"),
        (GOOD.replace('"plain"', '"starnet_s1"'), "backbone name 'starnet_s1' is taken"),
        (GOOD.replace("PlainConv", "StarStem"), "class name 'StarStem' of 'plain' is taken"),
        (GOOD.replace("def out_channels", "def nothing"), "lacks a static method out_channels"),
        (GOOD.replace('register(Backbone("plain", build, (PlainConv,)))', "register(7)"), "takes a Backbone, found 7"),
        (
            GOOD.replace("def register_backbones(register)", "def register_necks(register)"),
            "unknown hook 'register_necks'",
        ),
        (GOOD.replace("(PlainConv,))", "(PlainConv,), necks=3)"), "unexpected keyword argument 'necks'"),
    ],
    ids=[
        "import fails",
        "wrong signature",
        "hook raises",
        "name taken",
        "class taken",
        "no channels",
        "no Backbone",
        "hook of a later release",
        "argument of a later release",
    ],
)
def test_a_broken_plugin_is_named_and_left_out_and_the_others_work(install, source: str, reason: str):
    install("broken_plugin", source)
    install("other_plugin", GOOD.replace("PlainConv", "OtherConv").replace('"plain"', '"other"'))
    with pytest.warns(RuntimeWarning, match=f"'broken_plugin' .* is left out: .*{reason}") as warned:
        table = load(reserved={})
    assert len(warned) == 1
    assert list(table) == [*OURS, "other"]


def test_a_broken_plugin_beside_a_good_one_is_one_warning_and_the_good_one_works(install, tmp_path: Path, python):
    install("broken_plugin", "import nothing_of_that_name")
    install("plain_plugin", GOOD)
    code = "import yolo_starnet; from ultralytics import YOLO; YOLO('yolo11n-plain.yaml')\n"
    code += "print('ALL', *yolo_starnet.backbones())"
    done = python("-c", code, PYTHONPATH=str(tmp_path))
    assert done.stdout.split("ALL ")[-1].split() == [*OURS, "plain"]
    assert done.stderr.count("is left out") == 1
    assert "'broken_plugin' (broken_plugin) is left out: ModuleNotFoundError" in done.stderr
    silent = python("-c", code, PYTHONPATH=str(tmp_path), YOLO_STARNET_DISABLE="timm, broken_plugin")
    assert silent.stdout.split("ALL ")[-1].split() == [*VARIANTS, "starnet_fit", "plain"]
    assert "left out" not in silent.stderr


def test_the_plugins_in_the_docs_work(install, tmp_path: Path, python):
    text = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    examples = [code for code in blocks if "register_backbones" in code]
    names = [re.search(r'Backbone(?:\.of_module)?\("(\w+)"', example)[1] for example in examples]
    assert len(names) == 2
    for name, example in zip(names, examples):
        install(f"docs_{name}", example)
    code = "import yolo_starnet; from ultralytics import YOLO\n"
    code += f"for name in {names!r}: YOLO(f'yolo11n-{{name}}.yaml')"
    assert "left out" not in python("-c", code, PYTHONPATH=str(tmp_path)).stderr


@pytest.mark.parametrize("name", ["", "Upper", "with-dash", "1st"])
def test_a_name_that_no_config_could_carry_is_refused(name: str):
    with pytest.raises(PluginError, match="must be lower-case"):
        Table({}).add([backbone(name)])


def test_a_name_of_ultralytics_is_refused_and_nothing_of_the_plugin_stays():
    table = Table({"taken": object()})
    with pytest.raises(PluginError, match="'taken' is taken"):
        table.add([backbone("free"), backbone("taken")])
    assert not table
    assert not table.modules
