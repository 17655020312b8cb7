"""Rows of a model on another module: which rows, with which arguments, and what stays."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ultralytics import YOLO
from ultralytics.nn import tasks

from yolo_starnet import backbones, layers
from yolo_starnet.errors import ConfigError
from yolo_starnet.model_yaml import names, swap
from yolo_starnet.model_yaml.graft import head


@pytest.fixture
def text() -> str:
    return names.stock_file("yolo11.yaml").read_text(encoding="utf-8")


def swapped(text: str, swaps: str, places: str = "") -> dict[str, Any]:
    return swap.swap(yaml.safe_load(text), swap.parse(swaps), places, layers(), vars(tasks), backbones())


def rows(model: dict[str, Any]) -> list[list[Any]]:
    return [*model["backbone"], *model["head"]]


def changed(text: str, swaps: str, places: str = "") -> dict[int, list[Any]]:
    before, after = rows(yaml.safe_load(text)), rows(swapped(text, swaps, places))
    return {i: new for i, (old, new) in enumerate(zip(before, after)) if old != new}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Concat:StarFuse", [swap.Swap("Concat", "StarFuse")]),
        (
            "C3k2:StarCSP[512, 4],Concat:StarFuse",
            [swap.Swap("C3k2", "StarCSP", [512, 4]), swap.Swap("Concat", "StarFuse")],
        ),
        ("nn.Upsample:nn.Identity[]", [swap.Swap("nn.Upsample", "nn.Identity", [])]),
    ],
    ids=["one", "two, one with arguments", "torch's"],
)
def test_the_grammar(given: str, expected: list[swap.Swap]):
    assert swap.parse(given) == expected


@pytest.mark.parametrize("given", ["Concat", "Concat:", ":StarFuse", "Concat=StarFuse", "Concat:StarFuse,,", ""])
def test_what_is_no_swap_is_refused(given: str):
    with pytest.raises(ConfigError, match="swap= takes OLD:NEW"):
        swap.parse(given)


def test_every_concat_becomes_a_fusion_that_takes_its_channels_from_its_inputs(text: str):
    assert changed(text, "Concat:StarFuse") == {
        12: [[-1, 6], 1, "StarFuse", []],
        15: [[-1, 4], 1, "StarFuse", []],
        18: [[-1, 13], 1, "StarFuse", []],
        21: [[-1, 10], 1, "StarFuse", []],
    }


def test_a_csp_block_keeps_repeats_and_channels_and_drops_what_it_does_not_take(text: str):
    assert changed(text, "C3k2:StarCSP", "head") == {
        13: [-1, 2, "StarCSP", [512]],
        16: [-1, 2, "StarCSP", [256]],
        19: [-1, 2, "StarCSP", [512]],
        22: [-1, 2, "StarCSP", [1024]],
    }


@pytest.mark.parametrize(
    ("places", "expected"),
    [("", [2, 4, 6, 8, 13, 16, 19, 22]), ("backbone", [2, 4, 6, 8]), ("head", [13, 16, 19, 22]), ("6,8", [6, 8])],
    ids=["all", "backbone", "head", "layer numbers"],
)
def test_where_chooses_rows(text: str, places: str, expected: list[int]):
    assert list(changed(text, "C3k2:StarCSP", places)) == expected


@pytest.mark.parametrize(
    ("swaps", "places", "message"),
    [
        ("Concat:StarFuze", "", "no module 'StarFuze'; did you mean 'StarFuse'"),
        (
            "C2f:StarCSP",
            "",
            "no row names 'C2f' there; the rows name C2PSA, C3k2, Concat, Conv, Detect, SPPF, nn.Upsample",
        ),
        ("Concat:StarFuse", "backbone", "no row names 'Concat' there; the rows name C2PSA, C3k2, Conv, SPPF"),
        ("Concat:StarFuse", "neck", "where= takes head, backbone or layer numbers from 0 to 23, found 'neck'"),
        ("Concat:StarFuse", "24", "from 0 to 23, found '24'"),
        ("Conv:StarFuse", "0", r"backbone row 0 .*cannot be swapped: StarFuse takes 2 to 3 inputs"),
        ("Concat:StarCSP", "", r"head row 1 .*cannot be swapped: StarCSP takes one input"),
    ],
    ids=["unknown", "no such row", "none there", "no place", "no layer number", "one input for two", "two for one"],
)
def test_what_cannot_be_swapped_is_refused_with_the_reason(text: str, swaps: str, places: str, message: str):
    with pytest.raises(ConfigError, match=message):
        swapped(text, swaps, places)


def test_the_text_keeps_comments_references_and_every_other_line(text: str):
    model = swapped(text, "Concat:StarFuse")
    written = swap.write(text, model, head(text, "by hand", {}))
    assert yaml.safe_load(written) == model
    before, after = (lines[lines.index("backbone:") :] for lines in (text.splitlines(), written.splitlines()))
    assert after == [line.replace("Concat, [1]", "StarFuse, []") for line in before]
    assert written.splitlines()[1] == "# by hand"


def test_a_yaml_in_a_layout_of_its_own_is_written_without_comments():
    model = yaml.safe_load(names.stock_file("yolo11.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump(model)
    after = swapped(text, "Concat:StarFuse")
    assert yaml.safe_load(swap.write(text, after, head(text, "by hand", {}))) == after


def test_layer_numbers_count_the_five_levels_of_a_backbone_row():
    starnet = (names.CONFIGS / "yolo11-starnet.yaml").read_text(encoding="utf-8")
    assert changed(starnet, "C3k2:StarCSP", "9,12") == {
        5: [-1, 2, "StarCSP", [512]],
        8: [-1, 2, "StarCSP", [256]],
    }


def stock_with_concat() -> list[str]:
    """The stock models that YOLO builds, with a Concat of feature maps alone."""
    found = [n for n in names.stock_names() if n.startswith(("yolov8", "yolo11", "yolo12", "yolo26"))]
    other = ("world", "rtdetr")  # Concat of text features; models of the class RTDETR
    return [n for n in found if "Concat" in names.stock_file(n).read_text() and not any(o in n for o in other)]


@pytest.mark.parametrize("name", stock_with_concat())
def test_every_stock_model_with_a_concat_builds_on_fusions(name: str, tmp_path: Path):
    text = names.stock_file(name).read_text(encoding="utf-8")
    (tmp_path / f"my-{name}").write_text(
        swap.write(text, swapped(text, "Concat:StarFuse", "head"), head(text, "a test", {}))
    )
    model = YOLO(tmp_path / f"my-{name}").model
    assert "StarFuse" in {type(layer).__name__ for layer in model.model}
