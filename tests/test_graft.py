"""Grafts: any stock model on any backbone, and nothing else changed."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import ultralytics
import yaml
from torch import nn
from ultralytics import RTDETR, YOLO

import yolo_starnet
from yolo_starnet import Backbone, Layer
from yolo_starnet.errors import BackboneError
from yolo_starnet.measuring import figures
from yolo_starnet.model_yaml import graft, names
from yolo_starnet.plugins import Table

ROWS = [
    [-1, 1, "Conv", [64, 3, 2]],  # 0-P1/2
    [-1, 1, "Conv", [128, 3, 2]],  # 1-P2/4
    [-1, 3, "C2f", [128]],  # 2
    [-1, 1, "Conv", [256, 3, 2]],  # 3-P3/8
    [-1, 3, "C2f", [256]],  # 4
    [-1, 1, "Conv", [512, 3, 2]],  # 5-P4/16
    [-1, 3, "C2f", [512]],  # 6
    [-1, 1, "Conv", [1024, 3, 2]],  # 7-P5/32
    [-1, 3, "C2f", [1024]],  # 8
]
STRIDES = [2, 4, 4, 8, 8, 16, 16, 32, 32]
REFUSED = {"yolo11-cls-resnet18.yaml": "no P3/8, P4/16, P5/32"}
"""Stock models with nothing to replace, and the reason that they are refused with."""


class PlainLevel(nn.Conv2d):
    """A level of a backbone that has nothing of StarNet."""

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        return c2


def plain(in_channels: int) -> list[Layer]:
    channels = [in_channels, 16, 24, 40, 80, 160]
    return [Layer(PlainLevel, (c1, c2, 3, 2, 1)) for c1, c2 in pairwise(channels)]


@pytest.fixture
def with_plain(plugin_table: Table) -> None:
    """A backbone named `plain`, until the test ends."""
    yolo_starnet.deactivate()
    plugin_table.add([Backbone("plain", plain, (PlainLevel,))])
    yolo_starnet.activate()


def on_starnet(head: list[Any], more: list[Any] = (), strides: list[int] = ()) -> dict[str, Any]:
    model = {"nc": 80, "backbone": [*ROWS, *more], "head": head}
    return graft.graft(model, [*STRIDES, *strides], "starnet_s1").model


def sources(rows: list[Any]) -> list[Any]:
    return [row[0] for row in rows]


def test_what_follows_at_p5_stays_and_references_become_levels():
    more = [[-1, 1, "SPPF", [1024, 5]]]
    head = [[[-1, 6], 1, "Concat", [1]], [[-1, 4], 1, "Concat", [1]], [[9, 10, 11], 1, "Detect", ["nc"]]]
    model = on_starnet(head, more, [32])
    assert model["backbone"] == [[-1, 1, "starnet_s1", []], [-1, 1, "SPPF", [1024, 5]]]
    assert sources(model["head"]) == [[-1, 3], [-1, 2], [5, 6, 7]]


@pytest.mark.parametrize(("inner", "level"), [(0, 0), (1, 1), (2, 1), (3, 2), (5, 3), (7, 4)])
def test_a_reference_inside_a_stage_becomes_its_level(inner: int, level: int):
    assert sources(on_starnet([[inner, 1, "Conv", [64, 1, 1]]])["head"]) == [level]


def test_relative_references_are_kept_where_they_hold_and_become_levels_where_they_do_not():
    head = [[-1, 1, "Conv", [64]], [-2, 1, "Conv", [64]], [[-1, -2], 1, "Concat", [1]]]
    assert sources(on_starnet(head)["head"]) == [-1, 4, [-1, -2]]


def test_a_p6_stage_stays():
    more = [[-1, 1, "Conv", [1024, 3, 2]], [-1, 3, "C2f", [1024]], [-1, 1, "SPPF", [1024, 5]]]
    model = on_starnet([[[8, 11], 1, "Detect", ["nc"]]], more, [64, 64, 64])
    assert sources(model["backbone"]) == [-1, -1, -1, -1]
    assert sources(model["head"]) == [[4, 7]]


def test_a_module_that_cannot_change_its_channels_gets_them_from_a_convolution():
    model = on_starnet([[-1, 1, "Classify", ["nc"]]], [[-1, 2, "C2PSA", [1024]]], [32])
    assert model["backbone"][1:] == [[-1, 1, "Conv", [1024, 1, 1]], [-1, 2, "C2PSA", [1024]]]


@pytest.mark.parametrize(
    ("model", "strides", "reason"),
    [
        ({"backbone": ROWS[:1], "head": []}, [32], "no P3/8, P4/16 that 'starnet_s1' could replace"),
        ({"backbone": ROWS[:7], "head": []}, STRIDES[:7], "no P3/8, P4/16, P5/32 that"),
        (
            {"backbone": [[-1, 1, "nn.Identity", []], *ROWS], "head": [[0, 1, "Conv", [8]]]},
            [1, *STRIDES],
            r"row 10 \[0, 1, 'Conv', \[8\]\] needs row 0 \[-1, 1, 'nn.Identity', \[\]\], which is no level",
        ),
    ],
    ids=["one row", "no P5", "the image itself"],
)
def test_a_model_with_nothing_to_replace_is_refused_with_the_reason(model: dict, strides: list[int], reason: str):
    with pytest.raises(BackboneError, match=reason):
        graft.graft(model, strides, "starnet_s1")


def test_the_original_is_left_as_it_is():
    model = {"backbone": [*ROWS], "head": [[[-1, 6], 1, "Concat", [1]]]}
    before = repr(model)
    graft.graft(model, STRIDES, "starnet_s1")
    assert repr(model) == before


def test_comments_hold_after_a_graft():
    text = names.grafted_yaml(names.stock_file("yolov8-p6.yaml"), "starnet_s3")
    assert text.startswith("# Ultralytics 🚀 AGPL-3.0 License")
    assert "- [-1, 1, starnet_s3, []] # 0-P1/2, 1-P2/4, 2-P3/8, 3-P4/16, 4-P5/32\n" in text
    assert "- [-1, 1, Conv, [1024, 3, 2]] # 5-P6/64\n" in text
    assert "- [[-1, 3], 1, Concat, [1]] # 12 cat backbone P4\n" in text
    assert "GFLOPs" not in text  # the original's do not hold


def test_a_yaml_laid_out_in_another_way_is_grafted_without_its_comments(tmp_path: Path):
    base = yaml.safe_load(names.stock_file("yolov8.yaml").read_text(encoding="utf-8"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(base))
    found = yaml.safe_load(names.grafted_yaml(tmp_path / "mine.yaml", "starnet_s1"))
    assert found == yaml.safe_load(names.grafted_yaml(names.stock_file("yolov8.yaml"), "starnet_s1"))


SHIPPED = sorted(file.name for file in names.CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_is_what_grafting_writes(name: str):
    shipped = (names.CONFIGS / name).read_text(encoding="utf-8")
    figures = re.compile(r" # summary: .*")
    assert len(figures.findall(shipped)) == 5
    token = "starnet_fit" if "starnet_fit" in name else "starnet"
    backbone = names.parse_backbone(token, yolo_starnet.backbones())[0]
    again = names.grafted_yaml(names.stock_file(name.replace(f"-{token}", "")), backbone)
    again = again.replace(f"Ultralytics {ultralytics.__version__} on", "Ultralytics 8.4.190 on")
    assert figures.sub("", shipped) == again


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_the_figures_in_a_shipped_config_are_those_of_its_models(name: str):
    shipped = (names.CONFIGS / name).read_text(encoding="utf-8")
    by_scale = figures.by_scale(yaml.safe_load(shipped), name)
    assert [str(f) for f in by_scale.values()] == re.findall(r"# (summary: .*)", shipped)


def test_grafting_writes_the_figures_of_each_scale_that_the_caller_measures():
    text = names.grafted_yaml(
        names.stock_file("yolov8.yaml"), "starnet_s1", figures=lambda model, name: {"n": f"{name} {len(model['head'])}"}
    )
    assert re.findall(r"^  n: .*# (.*)", text, flags=re.MULTILINE) == ["yolov8.yaml 13"]


def gradients(model: nn.Module, height: int, width: int) -> float:
    """Run a model forward and backward in training mode; how far the gradient of its first weights is from 0."""
    tensors: list[torch.Tensor] = []

    def walk(x: object) -> None:
        if isinstance(x, torch.Tensor) and x.requires_grad:
            tensors.append(x)
        for y in x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else ():
            walk(y)

    model.zero_grad()
    walk(model(torch.rand(2, 3, height, width)))
    sum(t.square().mean() for t in tensors).backward()
    return next(p.grad for p in model.parameters() if p.grad is not None).abs().sum().item()


def build(file: Path) -> nn.Module:
    return (RTDETR if "rtdetr" in file.stem else YOLO)(file.name if file.is_relative_to(names.ROOT) else file).model


@pytest.mark.slow
@pytest.mark.parametrize("name", names.stock_names())
def test_every_stock_model_runs_on_another_backbone(name: str, tmp_path: Path, with_plain: None):
    base = names.stock_file(name)
    stock = None if name in REFUSED else build(base)
    for backbone in ("starnet_s1", "plain"):
        if name in REFUSED:
            with pytest.raises(BackboneError, match=REFUSED[name]):
                names.grafted_yaml(base, backbone)
            continue
        file = tmp_path / names.name_of(base.stem, backbone)
        file.write_text(names.grafted_yaml(base, backbone), encoding="utf-8")
        model = build(file).train()
        assert torch.equal(model.stride, stock.stride)
        for height, width in ((64, 128), (128, 128)):  # multiples of 64, for those with a P6
            assert 0 < gradients(model, height, width) < float("inf")
