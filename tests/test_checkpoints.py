"""Checkpoints: which packages one needs, and what it does not ask for again."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from yolo_starnet import Backbone, Layer, backbones, plugins
from yolo_starnet.errors import PluginError
from yolo_starnet.patching import checkpoints


class Level(nn.Identity):
    @staticmethod
    def out_channels(*_: object) -> int:
        return 8


def backbone(*packages: str, distribution: str = "their-package") -> Backbone:
    return Backbone("theirs", lambda in_channels: [Layer(Level, ())] * 5, (Level,), packages, distribution=distribution)


def saved(folder: Path, of: Backbone) -> Path:
    layer = Level()
    checkpoints.mark(layer, of)
    torch.save({"model": layer, "ema": layer}, folder / "theirs.pt")
    return folder / "theirs.pt"


def test_a_checkpoint_whose_package_is_missing_names_the_package_to_install(tmp_path: Path):
    with pytest.raises(
        PluginError, match=r"'their-package', whose module 'not_there' is not .*pip install their-package"
    ):
        checkpoints.prepare(saved(tmp_path, backbone("not_there")), (), restricted=False)


def test_a_checkpoint_whose_packages_are_installed_is_accepted(tmp_path: Path):
    checkpoints.prepare(saved(tmp_path, backbone("torch")), (), restricted=False)


def test_a_checkpoint_of_our_own_backbones_has_no_mark(tmp_path: Path):
    layer = Level()
    checkpoints.mark(layer, backbone("not_there", distribution=""))
    assert not hasattr(layer, checkpoints.MARK)


@pytest.mark.parametrize("text", [f"about {checkpoints.MARK}", checkpoints.MARK], ids=["within a text", "last text"])
def test_a_checkpoint_that_only_mentions_the_mark_is_accepted(text: str, tmp_path: Path):
    torch.save({"note": text}, tmp_path / "notes.pt")
    checkpoints.prepare(tmp_path / "notes.pt", (), restricted=False)


@pytest.mark.parametrize("content", [None, b"no archive"], ids=["no file", "no checkpoint"])
def test_what_is_no_checkpoint_is_left_to_ultralytics(content: bytes | None, tmp_path: Path):
    if content is not None:
        (tmp_path / "any.pt").write_bytes(content)
    checkpoints.prepare(tmp_path / "any.pt", plugins.table().packages, restricted=True)


@pytest.mark.parametrize("key", ["model", "ema"])
def test_a_loaded_checkpoint_no_longer_asks_for_pretrained_weights(key: str):
    row = [-1, 1, "starnet_s1", {"width": 1.0, "pretrained": True}]
    checkpoints.forget_pretrained({key: SimpleNamespace(yaml={"backbone": [row]})}, backbones())
    assert row[3] == {"width": 1.0, "pretrained": False}


@pytest.mark.parametrize("row", [[-1, 1], 7, None, [-1, 1, "starnet_s1"], [-1, 1, "Conv", [64]]], ids=str)
def test_a_checkpoint_on_another_first_row_is_left_as_it_is(row: Any):
    before = repr(row)
    checkpoints.forget_pretrained({"model": SimpleNamespace(yaml={"backbone": [row]})}, backbones())
    assert repr(row) == before
