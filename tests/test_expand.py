"""Rows to layers: one row in, five layers out, or an error that names the row."""

import inspect
from copy import deepcopy
from typing import Any

import pytest
import yaml
from torch import nn
from ultralytics.nn import tasks

import yolo_starnet
from conftest import REFERENCE
from yolo_starnet import Backbone, Layer
from yolo_starnet.errors import BackboneError, YOLOStarNetError
from yolo_starnet.feature_maps import Built, FeatureMaps, Select
from yolo_starnet.model_yaml.expand import expand

NAN, INF = float("nan"), float("inf")


def model(row: list[Any], **changes: Any) -> dict[str, Any]:
    found = yaml.safe_load(REFERENCE)
    found["backbone"][0] = row
    return {**found, "yaml_file": "mine.yaml", **changes}


def expanded(given: dict[str, Any], in_channels: int = 3) -> dict[str, Any]:
    return dict(expand(given, in_channels, yolo_starnet.backbones(), vars(tasks)))


@pytest.mark.parametrize(
    ("args", "scale", "channels"),
    [
        ([0.5, 0.25], "x", [8, 8, 16, 32, 64]),
        ([], "n", [8, 8, 16, 32, 64]),
        ([], "x", [48, 40, 80, 160, 320]),
        ([], "", [8, 8, 16, 32, 64]),  # Ultralytics takes the first scale
        ({"width": 1.0}, "n", [32, 24, 48, 96, 192]),
        ({"mlp_ratio": 3}, "s", [16, 16, 32, 64, 128]),
    ],
    ids=["depth and width", "scale n", "scale x", "no scale", "width by name", "width left out"],
)
def test_one_row_becomes_five_layers_of_the_right_width(args: Any, scale: str, channels: list[int]):
    given = model([-1, 1, "starnet_s1", args], scale=scale)
    before = deepcopy(given)
    found = expanded(given, in_channels=4)
    assert [(f, n, m) for f, n, m, _ in found["backbone"][:5]] == [(-1, 1, "StarStem")] + [(-1, 1, "StarStage")] * 4
    assert [row[3][:2] for row in found["backbone"][:5]] == [list(p) for p in zip([4, *channels], channels)]
    assert found["backbone"][5:] == given["backbone"][1:]
    assert found["head"] == given["head"]
    assert given == before


def test_a_model_without_scales_takes_its_width_multiple():
    given = model([-1, 1, "starnet_s1", []], scales=None, width_multiple=0.5)
    assert expanded(given)["backbone"][0][3] == [3, 16]


def test_a_model_without_a_backbone_row_is_returned_as_it_is():
    given = model([-1, 1, "Conv", [64, 3, 2]])
    assert expand(given, 3, yolo_starnet.backbones(), vars(tasks)) is given


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([-1, 1, "starnet_s11", []], "unknown module 'starnet_s11'; did you mean 'starnet_s1'"),
        ([-1, 1, "StarNet_S1", []], "did you mean 'starnet_s1'"),
        ([-1, 1, "Convv", [64]], "unknown module 'Convv'; did you mean 'Conv'"),
        ([-1, 1, "Qzxwv", []], "unknown module 'Qzxwv'$"),
        ([-1, 1, "starnet_s1", [0.5, 0]], "width must be a number above 0, found 0"),
        ([-1, 1, "starnet_s1", [0.5, -1.0]], "width must be .* found -1.0"),
        ([-1, 1, "starnet_s1", [0.5, NAN]], "width must be .* found nan"),
        ([-1, 1, "starnet_s1", {"width": INF}], "width must be .* found inf"),
        ([-1, 1, "starnet_s1", [0.5, "wide"]], "width must be .* found 'wide'"),
        ([-1, 1, "starnet_s1", [0.5, True]], "width must be .* found True"),
        ([-1, 1, "starnet_s1", [0.5, None]], "width must be .* found None"),
        ([-1, 1, "starnet_s1", {"widht": 1.0}], "unknown option 'widht'; 'starnet_s1' takes depth, width, mlp_ratio"),
        ([-1, 1, "starnet_s1", {"drop_path_rate": 1}], "drop_path_rate must be a number of at least 0 and below 1"),
        ([-1, 1, "starnet_s1", {"mlp_ratio": 2.5}], "mlp_ratio must be a whole number"),
        ([-1, 1, "starnet_s1", [0.25]], r"args must be \[\], \[depth, width\] or .* found 1 arguments"),
        ([-1, 1, "starnet_s1", [0.5, 0.25, 3]], "found 3 arguments"),
        ([-1, 1, "starnet_s1", 0.25], "found 0.25"),
        ([-1, 1, "starnet_s1"], "found 3 items"),
        ([0, 1, "starnet_s1", []], "'from' must be -1, the image; found 0"),
        ([[-1], 1, "starnet_s1", []], "'from' must be -1"),
        ([-1, 2, "starnet_s1", []], "repeats must be 1, a backbone cannot be stacked; found 2$"),
    ],
    ids=lambda v: str(v)[:50] if isinstance(v, list) else "",
)
def test_a_bad_row_is_refused_by_name(row: list[Any], message: str):
    with pytest.raises(BackboneError, match=message) as refusal:
        expanded(model(row))
    assert str(refusal.value).startswith("backbone row 0 [")
    assert " of mine.yaml: " in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("section", ["backbone", "head"])
def test_a_backbone_row_that_is_not_first_is_refused(section: str):
    given = model([-1, 1, "starnet_s1", []])
    given[section].insert(1, [-1, 1, "starnet_s2", []])
    with pytest.raises(BackboneError, match=f"{section} row 1 .*'starnet_s2' must be the first row of 'backbone:'"):
        expanded(given)


MALFORMED = [[-1, 1], 7, None, [], "row", [-1, 1, 7, []], [-1, 1, "Conv"]]


@pytest.mark.parametrize("first", [[-1, 1, "starnet_s1", []], [-1, 1, "Conv", [64, 3, 2]]], ids=["starnet", "stock"])
@pytest.mark.parametrize(("section", "index"), [("backbone", 0), ("backbone", 1), ("head", 0)])
@pytest.mark.parametrize("row", MALFORMED, ids=str)
def test_a_malformed_row_gets_the_error_of_the_stock_parser(row: Any, section: str, index: int, first: list[Any]):
    given = model(first, scale="n")
    given[section][index] = row
    stock = deepcopy(given)
    stock["backbone"][0] = row if (section, index) == ("backbone", 0) else [-1, 1, "Conv", [64, 3, 2]]
    with pytest.raises((TypeError, ValueError, AttributeError)) as expected:
        inspect.unwrap(tasks.parse_model)(stock, 3, verbose=False)
    with pytest.raises(type(expected.value)) as error:
        tasks.parse_model(given, 3, verbose=False)
    assert str(error.value) == str(expected.value)


@pytest.mark.parametrize("section", ["backbone", "head"])
@pytest.mark.parametrize("rows", [None, 7], ids=str)
def test_a_section_that_is_no_list_is_left_to_the_stock_parser(rows: Any, section: str):
    given = model([-1, 1, "Conv", [64, 3, 2]], **{section: rows})
    assert expand(given, 3, yolo_starnet.backbones(), vars(tasks)) is given


SCALES = {
    "a number": 1,
    "a word": "n",
    "a list": [1, 2],
    "without the scale": {"x": [1, 1, 1024]},
    "an empty list": {"n": []},
    "none": {"n": None},
    "two numbers": {"n": [0.5, 0.25]},
    "four numbers": {"n": [0.5, 0.25, 8, 9]},
    "a mapping": {"n": {"a": 1}},
    "words": {"n": ["a", "b", "c"]},
    "no largest channels": {"n": [0.5, 0.25, None]},
}
ROWS = {"starnet": [-1, 1, "starnet_s1", [0.5, 0.25]], "width by scale": [-1, 1, "starnet_s1", []]}


def raised(parse: Any, given: Any) -> tuple[Exception, str]:
    """The error of a parser, and the file that raised it."""
    with pytest.raises(Exception) as error:  # noqa: PT011 - which one it is, is what the tests compare
        parse(given, 3, verbose=False)
    return error.value, error.traceback[-1].path.as_posix()


@pytest.mark.parametrize("layer", [[-1, 1, "Conv", [64]], [-1, 1, "StarCSP", [64]]], ids=["stock", "layer"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("scales", SCALES.values(), ids=SCALES)
def test_a_malformed_scale_gets_the_error_of_the_stock_parser_or_ours(scales: Any, row: list[Any], layer: list[Any]):
    given = model(row, scales=scales, scale="n")
    given["backbone"][1] = layer
    error, file = raised(tasks.parse_model, deepcopy(given))
    if isinstance(error, YOLOStarNetError):
        assert "must be" in str(error)
        return
    given["backbone"][0] = [-1, 1, "Conv", [64, 3, 2]]
    given["backbone"][1] = [-1, 1, "Conv", [64]]
    stock, _ = raised(inspect.unwrap(tasks.parse_model), given)
    assert (type(error), str(error)) == (type(stock), str(stock))
    assert "yolo_starnet" not in file


@pytest.mark.parametrize("given", [None, 7, [], "model", {}, {"backbone": []}, {"head": []}], ids=str)
def test_what_is_no_model_gets_the_error_of_the_stock_parser(given: Any):
    error, file = raised(tasks.parse_model, given)
    stock, _ = raised(inspect.unwrap(tasks.parse_model), given)
    assert (type(error), str(error)) == (type(stock), str(stock))
    assert "yolo_starnet" not in file


@pytest.mark.parametrize("section", ["backbone", "head"])
@pytest.mark.parametrize("rows", [None, 5, {}, "rows", ()], ids=repr)
def test_a_section_that_is_no_list_gets_the_error_of_the_stock_parser_behind_a_backbone_row(rows: Any, section: str):
    given = {**model([-1, 1, "starnet_s1", []], scale="n"), section: rows}
    error, file = raised(tasks.parse_model, deepcopy(given))
    if section == "head":
        given["backbone"][0] = [-1, 1, "Conv", [64, 3, 2]]
    stock, _ = raised(inspect.unwrap(tasks.parse_model), given)
    assert (type(error), str(error)) == (type(stock), str(stock))
    assert "yolo_starnet" not in file


@pytest.mark.parametrize(
    ("source", "name"), [(1.0, "Conv"), ([2.0, 3], "Concat"), (99, "nn.Identity"), ("x", "nn.Identity"), ([9], "Conv")]
)
def test_a_wrong_from_of_a_stock_row_gets_the_error_of_the_stock_parser(source: Any, name: str):
    given = model([-1, 1, "starnet_s1", []], scale="n")
    given["head"].insert(0, [source, 1, name, [64] if name == "Conv" else []])
    error, file = raised(tasks.parse_model, deepcopy(given))
    given["backbone"][:1] = [[-1, 1, "Conv", [64, 3, 2]] for _ in range(5)]
    stock, _ = raised(inspect.unwrap(tasks.parse_model), given)
    assert (type(error), str(error)) == (type(stock), str(stock))
    assert "yolo_starnet" not in file


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("starnet_s1", {"width": 1e9}, "width must be at most 8, found 1000000000.0"),
        ("starnet_s1", {"width": 10**400}, "width must be at most 8, found 1000"),
        ("starnet_s1", {"width": 2 * 16**4000}, "width|digits"),
        ("starnet_s1", {"mlp_ratio": 2**63}, f"mlp_ratio must be at most 16, found {2**63}"),
        ("starnet_s1", {"drop_path_rate": 10**400}, "drop_path_rate must be a number of at least 0 and below 1"),
        ("starnet_s1", {"depth": "deep"}, "depth must be a number above 0, found 'deep'"),
        ("starnet_fit", {"width": 8.01}, "width must be at most 8, found 8.01"),
        ("starnet_fit", {"mlp_ratio": 17}, "mlp_ratio must be at most 16, found 17"),
        ("starnet_fit", {"dims": [64, 64, 2**31, 64]}, r"dims\[2\] must be at most 4096, found 2147483648"),
        ("starnet_fit", {"depths": [0, 10**9, 1, 1]}, r"depths\[1\] must be at most 64, found 1000000000"),
        ("timm", {"model": "test_vit", "pyramid_channels": 2**40}, "pyramid_channels must be at most 4096"),
        ("timm", {"model": "resnet18", "in_channels": 3}, "unknown option 'in_channels'"),
        ("timm", {"in_channels": 3}, "unknown option 'in_channels'"),
        ("timm", {"model": "resnet18", 1: 1}, "unknown option 1"),
        ("starnet_s1", {"width": 1.0, "pretrained": "x" * 5000}, "pretrained: there is no file"),
        ("starnet_s1", {"width": 1.0, "pretrained": "~nobody/x"}, "pretrained: there is no file"),
        ("starnet_s1", {"width": 1.0, "pretrained": "\0"}, "pretrained: there is no file"),
    ],
)
def test_an_option_that_no_network_can_have_is_refused_with_the_row(name: str, options: dict[Any, Any], reason: str):
    with pytest.raises(BackboneError, match=rf"backbone row 0 \[.*of mine.yaml: .*({reason})"):
        tasks.parse_model(model([-1, 1, name, options], scale="n"), 3, verbose=False)


@pytest.mark.parametrize(("width", "ratio"), [(8, 1), (0.25, 16)])
def test_the_largest_width_and_ratio_are_allowed(width: float, ratio: int):
    assert expanded(model([-1, 1, "starnet_s050", {"width": width, "mlp_ratio": ratio}]))["backbone"][1][3][3] == ratio


@pytest.mark.parametrize("section", ["backbone", "head"])
@pytest.mark.parametrize("args", [[], [3], [3, 8], ["a", "b"], [3, 8, -1, 2**63], [[]]], ids=str)
@pytest.mark.parametrize("name", ["StarStem", "StarStage", "FitStage", "ConvStage", "FeatureMaps", "Select"])
def test_a_row_that_names_a_part_of_a_backbone_is_refused(name: str, args: list[Any], section: str):
    given = model([-1, 1, "starnet_s1", []], scale="n")
    given[section].insert(1, [-1, 1, name, args])
    with pytest.raises(BackboneError, match=f"{section} row 1 .*'{name}' is a part of a backbone"):
        tasks.parse_model(given, 3, verbose=False)


def test_a_level_that_cannot_be_built_is_named_by_its_row():
    with pytest.raises(BackboneError, match=r"backbone row 0 \[-1, 1, starnet_s1, .*TypeError: empty"):
        tasks.parse_model(model([-1, 1, "starnet_s1", []], scale="n"), 2**63, verbose=False)


def from_p3(in_channels: int, **options: Any) -> list[Layer]:
    """Levels without a feature map at P1 and P2."""
    selected = [Layer(Select, args, 0) for args in [(None, 0), (0, 8), (1, 16), (2, 32)]]
    return [Layer(FeatureMaps, (Built(nn.Identity()),)), *selected]


def with_rows(*rows: Any) -> dict[str, Any]:
    """A model on `from_p3` with these rows at the indices from 5 on, the last of them in the head."""
    return {"yaml_file": "mine.yaml", "backbone": [[-1, 1, "net", []], *rows[:-1]], "head": [rows[-1]]}


CONV = [-1, 1, "Conv", [8]]


@pytest.mark.parametrize(
    ("rows", "place", "level"),
    [
        ([[0, 1, "Conv", [8]], CONV], "backbone row 1 [0, 1, Conv, [8]]", 0),
        ([[-4, 1, "Conv", [8]], CONV], "backbone row 1 [-4, 1, Conv, [8]]", 1),
        ([CONV, [-5, 1, "Conv", [8]]], "head row 0 [-5, 1, Conv, [8]]", 1),
        ([None, [], CONV, [[-1, -8], 1, "Concat", [1]]], "head row 0 [[-1, -8], 1, Concat, [1]]", 0),
        ([[(4, 1), 1, "Concat", [1]], CONV], "backbone row 1 [(4, 1), 1, Concat, [1]]", 1),
    ],
    ids=["index", "relative", "relative in the head", "behind malformed rows", "tuple"],
)
def test_a_row_that_takes_a_level_without_a_feature_map_is_refused(rows: list[Any], place: str, level: int):
    backbones = {"net": Backbone("net", from_p3, (FeatureMaps, Select))}
    with pytest.raises(BackboneError) as error:
        expand(with_rows(*rows), 3, backbones, vars(tasks))
    problem = f"there is no feature map of 'net' at index {level}; take 2 (P3/8), 3 (P4/16), 4 (P5/32)"
    assert str(error.value) == f"{place} of mine.yaml: {problem}"


def test_a_row_may_take_every_level_that_has_a_feature_map():
    backbones = {"net": Backbone("net", from_p3, (FeatureMaps, Select))}
    rows = [[-1, 1, "Conv", [8]], [-3, 1, "Conv", [8]], [2, 1, "Conv", [8]], [[4, -5, 5], 1, "Concat", [1]]]
    given = with_rows(*rows)
    levels = expand(given, 3, backbones, vars(tasks))["backbone"][:5]
    assert [row[:3] for row in levels] == [[-1, 1, "FeatureMaps"]] + [[0, 1, "Select"]] * 4


@pytest.mark.parametrize("count", [4, 6])
def test_a_backbone_that_has_not_five_levels_is_refused(count: int):
    backbones = {"net": Backbone("net", lambda c: (from_p3(c) * 2)[:count], (FeatureMaps, Select))}
    with pytest.raises(BackboneError, match=rf"'net' built {count} layers, expected 5 \(P1/2 to P5/32\)"):
        expand(with_rows(CONV), 3, backbones, vars(tasks))


def given_options(build: Any, options: dict[Any, Any]) -> dict[str, Any]:
    """The options that a backbone gets for a row, at scale n of the reference, whose width is 0.25."""
    got: dict[str, Any] = {}

    def keep(in_channels: int, **given: Any) -> list[Layer]:
        got.update(given)
        return from_p3(in_channels)

    backbone = Backbone("net", keep, (FeatureMaps, Select), options_of=build)
    expand(model([-1, 1, "net", options], scale="n", head=[]), 3, {"net": backbone}, vars(tasks))
    return got


def fixed(in_channels: int, width: float, size: int) -> None:
    """Two options without defaults."""


def open_to_any(in_channels: int, width: float = 1.0, **more: Any) -> None:
    """Any option."""


def test_a_required_width_follows_the_scale_and_other_options_are_passed_on():
    assert given_options(fixed, {"size": 3}) == {"width": 0.25, "size": 3}
    assert given_options(open_to_any, {"colour": 1, "width": 0.5}) == {"width": 0.5, "colour": 1}


@pytest.mark.parametrize(
    ("build", "options", "reason"),
    [
        (fixed, {"width": 1}, "option 'size' is missing; 'net' takes width, size"),
        (fixed, {"size": 3, "more": 1}, "unknown option 'more'; 'net' takes width, size"),
        (open_to_any, {"in_channels": 3}, "unknown option 'in_channels'; 'net' takes width"),
        (open_to_any, {7: 3}, "unknown option 7; 'net' takes width"),
        (lambda in_channels: None, {"size": 3}, "unknown option 'size'; 'net' takes none"),
    ],
    ids=["missing", "unknown", "the image's channels", "no word", "no options"],
)
def test_an_option_that_a_backbone_does_not_take_or_lacks_is_named(build: Any, options: dict[Any, Any], reason: str):
    backbone = Backbone(
        "net", lambda in_channels, **given: from_p3(in_channels), (FeatureMaps, Select), options_of=build
    )
    with pytest.raises(BackboneError) as error:
        expand(model([-1, 1, "net", options], scale="n"), 3, {"net": backbone}, vars(tasks))
    assert str(error.value).endswith(f"of mine.yaml: {reason}")
