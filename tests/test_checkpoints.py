"""Checkpoints: which packages one needs, and what it does not ask for again."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import ultralytics
from torch import nn

from test_loading import restricted
from yolo_starnet import Backbone, Layer, backbones, plugins
from yolo_starnet.errors import PluginError
from yolo_starnet.patching import checkpoints


class Level(nn.Identity):
    @staticmethod
    def out_channels(*_: object) -> int:
        return 8


class Inner(nn.Linear):
    pass


class Settings:
    pass


def backbone(*packages: str, distribution: str = "their-package", **more: Any) -> Backbone:
    build = lambda in_channels: [Layer(Level, ())] * 5  # noqa: E731  # a def would be longer than the test
    return Backbone("theirs", build, (Level,), packages, distribution=distribution, **more)


def saved(folder: Path, of: Backbone, **more: object) -> Path:
    layer = Level()
    checkpoints.mark(layer, of)
    torch.save({"model": layer, "ema": layer, **more}, folder / "theirs.pt")
    return folder / "theirs.pt"


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module whose class a checkpoint holds, gone once the checkpoint is saved."""
    module = ModuleType("not_there")
    module.Gone = type("Gone", (), {"__module__": "not_there"})  # type: ignore[attr-defined]  # a module of this test
    sys.modules["not_there"] = module
    return "not_there"


def gone(folder: Path, of: Backbone) -> Path:
    """A checkpoint with a class of `not_there`, which is no longer installed."""
    file = saved(folder, of, value=sys.modules["not_there"].Gone())
    del sys.modules["not_there"]
    return file


def test_a_checkpoint_whose_package_is_missing_names_the_package_to_install(not_installed: str, tmp_path: Path):
    file = gone(tmp_path, backbone(not_installed))
    with pytest.raises(
        PluginError, match=r"'their-package', whose module 'not_there' is not .*pip install their-package"
    ):
        checkpoints.check_installed(file)


def test_the_file_is_found_where_ultralytics_finds_it(not_installed: str, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    gone(tmp_path / "elsewhere", backbone(not_installed))
    checkpoints.check_installed("theirs.pt")
    ultralytics.settings.update(weights_dir=str(tmp_path / "elsewhere"))
    with pytest.raises(PluginError):
        checkpoints.check_installed(" 'theirs.pt'")


def test_a_checkpoint_without_a_class_of_the_missing_package_is_accepted(tmp_path: Path):
    checkpoints.check_installed(saved(tmp_path, backbone("not_there")))


def test_a_missing_submodule_is_left_to_ultralytics(not_installed: str, tmp_path: Path):
    checkpoints.check_installed(gone(tmp_path, backbone("torch.not_there")))


def test_a_checkpoint_whose_packages_are_installed_is_accepted(tmp_path: Path):
    checkpoints.check_installed(saved(tmp_path, backbone("torch")))


def test_a_checkpoint_of_our_own_backbones_has_no_mark(tmp_path: Path):
    layer = Level()
    checkpoints.mark(layer, backbone("not_there", distribution=""))
    assert not hasattr(layer, checkpoints.MARK)


@restricted
@pytest.mark.parametrize(
    ("value", "options", "allowed"),
    [
        (Inner(1, 1), {}, True),
        (Settings(), {}, False),
        (Settings(), {"classes": (f"{__name__}.Settings",)}, True),
        (Layer(Level, ()), {}, False),
    ],
    ids=["a module", "another class", "a listed class", "a class of ours that is no module"],
)
def test_modules_and_listed_classes_of_its_package_are_allowed(
    value: object, options: dict[str, Any], allowed: bool, plugin_table: plugins.Table, tmp_path: Path
):
    plugin_table.add([backbone(**options)])
    file = saved(tmp_path, backbone(), value=value)
    with checkpoints.allow_classes(file, plugin_table):
        names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    assert (f"{type(value).__module__}.{type(value).__qualname__}" in names) is not allowed


@restricted
def test_a_file_that_names_no_class_of_a_row_gets_nothing_allowed(plugin_table: plugins.Table, tmp_path: Path):
    plugin_table.add([backbone()])
    torch.save({"model": Inner(1, 1)}, tmp_path / "inner.pt")
    before = set(torch.serialization.get_safe_globals())
    with checkpoints.allow_classes(tmp_path / "inner.pt", plugin_table):
        assert set(torch.serialization.get_safe_globals()) == before


@restricted
def test_what_the_user_allowed_stays_allowed(plugin_table: plugins.Table, tmp_path: Path):
    plugin_table.add([backbone()])
    file = saved(tmp_path, backbone(), value=Inner(1, 1))
    with torch.serialization.safe_globals([Level]):
        before = set(torch.serialization.get_safe_globals())
        with checkpoints.allow_classes(file, plugin_table):
            torch.load(file, weights_only=True)
            torch.serialization.add_safe_globals([Inner])
        assert set(torch.serialization.get_safe_globals()) == {*before, Inner}


@restricted
def test_loads_in_several_threads_do_not_take_classes_from_each_other(plugin_table: plugins.Table, tmp_path: Path):
    plugin_table.add([backbone()])
    file = saved(tmp_path, backbone(), value=[Inner(1, 1) for _ in range(50)])

    def load(_: int) -> int:
        with checkpoints.allow_classes(file, plugin_table):
            return len(torch.load(file, weights_only=True)["value"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(load, range(12))) == [50] * 12


def test_a_package_may_list_a_module_that_it_imports_late(plugin_table: plugins.Table, tmp_path: Path):
    layer = Level()
    checkpoints.mark(layer, backbone("late.networks", "late"))
    assert getattr(layer, checkpoints.MARK).split()[2:] == ["late", "test_checkpoints"]


@pytest.mark.parametrize("key", ["model", "ema"])
def test_a_loaded_checkpoint_no_longer_asks_for_pretrained_weights(key: str):
    row = [-1, 1, "starnet_s1", {"width": 1.0, "pretrained": True}]
    checkpoints.forget_pretrained({key: SimpleNamespace(yaml={"backbone": [row]})}, backbones())
    assert row[3] == {"width": 1.0, "pretrained": False}


@pytest.mark.parametrize("config", [7, "text", [], torch.ones(3)], ids=str)
def test_a_model_with_something_else_for_a_yaml_is_left_as_it_is(config: object):
    checkpoints.forget_pretrained({"model": SimpleNamespace(yaml=config)}, backbones())


@pytest.mark.parametrize("row", [[-1, 1], 7, None, [-1, 1, "starnet_s1"], [-1, 1, "Conv", [64]]], ids=str)
def test_a_checkpoint_on_another_first_row_is_left_as_it_is(row: Any):
    before = repr(row)
    checkpoints.forget_pretrained({"model": SimpleNamespace(yaml={"backbone": [row]})}, backbones())
    assert repr(row) == before
