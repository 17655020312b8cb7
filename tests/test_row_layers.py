"""Rows that name a registered layer: built as stock rows are, and refused with the row where they cannot be."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from ultralytics import YOLO
from ultralytics.nn import tasks

import yolo_starnet
from yolo_starnet import Backbone, RowLayer, plugins
from yolo_starnet.errors import BackboneError, LayerError
from yolo_starnet.model_yaml import names

PACKAGE = Path(__file__).parent / "data" / "plugin_layers"


class Same(nn.Conv2d):
    """Takes and returns the same channels."""

    def __init__(self, c1: int, k: int = 1) -> None:
        super().__init__(c1, c1, k, padding=k // 2)

    @staticmethod
    def out_channels(c1: int, *_: object) -> int:
        return c1


class Count(nn.Module):
    """Keeps what it was built with."""

    def __init__(self, c1: int, c2: int, n: int, extra: str = "") -> None:
        super().__init__()
        self.given = (c1, c2, n, extra)
        self.conv = nn.Conv2d(c1, c2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)

    @staticmethod
    def out_channels(c1: int, c2: int, *_: object) -> int:
        return c2


class Liar(Same):
    """Returns other channels than it says."""

    @staticmethod
    def out_channels(c1: int, *_: object) -> int:
        return c1 + 8


class Pair(Same):
    """Returns no tensor."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (super().forward(x),)


class Vague(Same):
    """Says half a channel."""

    @staticmethod
    def out_channels(c1: int, *_: object) -> Any:
        return c1 / 2


class Halve(nn.Conv2d):
    """Cannot feed itself."""

    def __init__(self, c1: int) -> None:
        super().__init__(c1, c1 // 2, 1)

    @staticmethod
    def out_channels(c1: int) -> int:
        return c1 // 2


@pytest.fixture(autouse=True)
def _registered(plugin_table: plugins.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers above and those of the test package, in the table that the plugin is active with."""
    monkeypatch.syspath_prepend(PACKAGE)
    package = importlib.import_module("plugin_layers")
    yolo_starnet.deactivate()
    plugin_table.add([], [Same, Liar, Pair, Vague, Halve, RowLayer(Count, scaled=True, repeats="argument")])
    package.register_layers(lambda layer: plugin_table.add([], [layer]))
    yolo_starnet.activate()


def stock(name: str) -> str:
    return names.stock_file(name).read_text(encoding="utf-8")


def swapped(name: str) -> str:
    """A stock YAML with a wavelet convolution, an attention and a fusion of two maps in place of rows of its own."""
    text = re.sub(r"SPPF, \[1024, 5[^]]*\]", "Wavelet, [1024]", stock(name))
    text = re.sub(r"(\d), C2PSA, \[1024\]", "1, Squeeze, []", text)
    lines = text.splitlines()
    for index, channels in zip([i for i, line in enumerate(lines) if "Concat" in line], (512, 256, 256, 512)):
        lines[index] = lines[index].replace("Concat, [1]", f"Merge, [{channels}]")
    return "\n".join(lines)


def build(text: str, name: str = "my-yolo11n.yaml") -> nn.Module:
    Path(name).write_text(text, encoding="utf-8")
    return YOLO(name).model


def with_row(row: str) -> str:
    """YOLO11 with `row` in place of its SPPF, at index 9, P5, and nothing that asserts its channels behind it."""
    text = stock("yolo11.yaml").replace("[-1, 1, SPPF, [1024, 5]]", row)
    return text.replace("[-1, 2, C2PSA, [1024]]", "[-1, 1, nn.Identity, []]")


@pytest.mark.parametrize("scale", "nslmx")
@pytest.mark.parametrize("name", ["yolo11.yaml", "yolo11-seg.yaml", "yolo26.yaml", "yolo26-seg.yaml"])
def test_three_kinds_of_layers_build_and_run_at_every_scale(name: str, scale: str):
    model = build(swapped(name), re.sub(r"yolo(\d\d)", rf"my-yolo\g<1>{scale}", name))
    assert model.yaml["scale"] == scale
    kinds = [type(m).__name__ for m in model.model]
    assert (kinds.count("Wavelet"), kinds.count("Squeeze"), kinds.count("Merge")) == (1, 1, 4)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, 64, 96))


def test_output_channels_follow_width_and_max_channels_as_in_stock_rows():
    for scale, channels in (("n", 256), ("s", 512), ("l", 512)):
        model = build(with_row("[-1, 1, Wavelet, [1024]]"), f"my-yolo11{scale}.yaml")
        assert model.model[9].out.conv.out_channels == YOLO(f"yolo11{scale}.yaml").model.model[9].cv2.conv.out_channels
        assert model.model[9].out.conv.out_channels == channels


def test_repeats_are_passed_on_where_the_class_takes_them_scaled_by_depth():
    model = build(with_row("[-1, 6, Count, [1024, word]]"))
    assert model.model[9].given == (256, 256, 3, "word")


def test_repeats_stack_where_it_does_not():
    stack = build(with_row("[-1, 6, Same, [3]]")).model[9]
    assert [type(m) for m in stack] == [Same] * 3
    assert stack[0].kernel_size == (3, 3)


def test_it_may_stand_behind_a_backbone_row(reference: Path):
    text = reference.read_text().replace("[-1, 1, SPPF, [1024, 5]]", "[-1, 1, Wavelet, [1024]]")
    assert type(build(text).model[5]).__name__ == "Wavelet"


def test_the_yaml_of_a_model_stays_as_the_user_wrote_it():
    model = build(with_row("[-1, 6, Count, [1024, word]]"))
    assert model.yaml["backbone"][9] == [-1, 6, "Count", [1024, "word"]]


def test_the_table_of_layers_shows_what_each_was_built_with(log: list[str]):
    Path("my-yolo11n.yaml").write_text(with_row("[-1, 1, Wavelet, [1024, 3]]"), encoding="utf-8")
    tasks.DetectionModel("my-yolo11n.yaml")
    row = next(line for line in log if "Wavelet" in line)
    assert row.split()[0] == "9"
    assert row.split()[-3:] == ["[256,", "256,", "3]"]


def test_building_leaves_modes_and_random_numbers_alone():
    torch.manual_seed(0)
    model = build(with_row("[-1, 1, Same, []]"))
    assert all(module.training for module in model.modules())
    state = torch.get_rng_state()
    torch.manual_seed(0)
    build(with_row("[-1, 1, nn.Conv2d, [256, 256, 1]]"))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(
            "[-1, 1, Merge, [1024]]",
            "Merge takes 2 inputs, so 'from' must be a list of 2; found -1",
            id="index for two",
        ),
        pytest.param("[[-1, 6, 4], 1, Merge, [1024]]", r"Merge takes 2 inputs.*found \[-1, 6, 4\]", id="three for two"),
        pytest.param(
            "[[-1, 6], 1, Squeeze, []]",
            r"Squeeze takes one input, so 'from' must be one index; found \[-1, 6\]",
            id="list for one",
        ),
        pytest.param("[-1, 1, Squeeze]", r"found 3 items, expected \[from, repeats, module, args\]", id="three items"),
        pytest.param("[-1, 1, Squeeze, 8]", "args must be a list, found 8", id="args no list"),
        pytest.param(
            "[-1, 1, Squeeze, {reduction: 8}]", "args must be a list, found {'reduction': 8}", id="args by name"
        ),
        pytest.param("[-1, 0, Squeeze, []]", "repeats must be a whole number from 1 up, found 0", id="repeats 0"),
        pytest.param(
            "[-1, 1, Wavelet, [many]]",
            "the first argument must be a number of output channels, found 'many'",
            id="channels a word",
        ),
        pytest.param(
            "[-1, 3, Count, []]", "must be a number of output channels, found None", id="repeats, no channels"
        ),
        pytest.param("[-1, 1, Wavelet, []]", "out_channels.256. failed: TypeError.*c2", id="channels missing"),
        pytest.param(
            "[-1, 1, Wavelet, [1024, 5, 6]]",
            "TypeError.*takes from 3 to 4 positional arguments",
            id="too many arguments",
        ),
        pytest.param("[-1, 1, Squeeze, [eight]]", "TypeError", id="argument of a wrong type"),
        pytest.param(
            "[-1, 1, Liar, []]",
            r"Liar returned \(1, 256, 4, 6\), expected 264 channels as its out_channels says",
            id="other channels",
        ),
        pytest.param("[-1, 1, Pair, []]", "Pair returned tuple, expected 256 channels", id="no tensor"),
        pytest.param(
            "[-1, 1, Vague, []]", "Vague.out_channels returned 128.0, expected a whole number", id="half a channel"
        ),
        pytest.param(
            "[-1, 4, Halve, []]",
            "repeats stacks Halve, but it takes 256 channels and returns 128; set repeats to 1",
            id="a stack that cannot feed itself",
        ),
        pytest.param(
            "[[-1, 6], 1, Merge, [1024]]", "failed on an image of 128 x 192.*size of tensor", id="maps of two sizes"
        ),
    ],
)
def test_a_bad_row_is_refused_with_the_row(row: str, message: str):
    with pytest.raises(LayerError, match=message) as error:
        build(with_row(row))
    assert str(error.value).startswith(f"backbone row 9 {row.replace(chr(39), '')}".split(" {")[0])
    assert "of my-yolo11n.yaml: " in str(error.value)


def test_a_row_of_the_head_is_named_by_its_place_there(reference: Path):
    rows = yaml.safe_load(reference.read_text())
    rows["head"][1] = [-1, 1, "Merge", [512]]
    with pytest.raises(LayerError, match=re.escape("head row 1 [-1, 1, Merge, [512]]")):
        build(yaml.safe_dump(rows))
    rows["head"][1] = [-1, 1, "Liar", []]
    with pytest.raises(LayerError, match=re.escape("head row 1 [-1, 1, Liar, []]")):
        build(yaml.safe_dump(rows))


def test_an_unknown_name_suggests_registered_layers():
    with pytest.raises(BackboneError, match=r"unknown module 'Squeze'; did you mean .*'Squeeze'"):
        build(with_row("[-1, 1, Squeze, []]"))


def test_stock_rows_that_fail_end_in_the_error_of_ultralytics():
    text = with_row("[-1, 1, Same, []]").replace("nn.Identity, []", "C2PSA, [1024, 2, 3, 4]")
    with pytest.raises(TypeError) as error:
        build(text)
    assert not isinstance(error.value, LayerError)


@pytest.mark.parametrize(
    ("change", "row", "message"),
    [
        ({}, [-1, 10**400, "StarCSP", [64]], "too large"),
        ({"scales": None}, [-1, 1, "StarCSP", [10**400]], "too large"),
        ({"scales": {"n": [float("inf"), 0.25, 64]}}, [-1, 2, "StarCSP", [64]], "infinity"),
        ({"scales": {"n": [0.5, float("nan"), 64]}}, [-1, 1, "StarCSP", [64]], "NaN"),
        ({"scales": {"n": ["a", 0.25, 64]}}, [-1, 1, "StarCSP", [64]], "must be numbers, found .'a', 0.25, 64"),
        ({"scales": None, "width_multiple": []}, [-1, 1, "StarCSP", [64]], r"must be numbers, found .1.0, \[\], inf"),
        ({}, [["a", "b"], 1, "StarFuse", []], "TypeError"),
        ({}, [99, 1, "StarCSP", [64]], "IndexError"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_numbers_and_inputs_that_cannot_be_are_refused_with_the_row(
    change: dict[str, Any], row: list[Any], message: str
):
    given = {**yaml.safe_load(stock("yolo11.yaml")), "scale": "n", **change}
    given["backbone"][1] = row
    with pytest.raises(LayerError, match=rf"(?s)backbone row 1 \[.*of the model: .*{message}"):
        tasks.parse_model(given, 3, verbose=False)


@pytest.mark.parametrize("row", [7, None, [], [-1, 1]], ids=str)
def test_a_malformed_row_behind_a_layer_gets_the_error_of_the_stock_parser(row: Any):
    given = {**yaml.safe_load(stock("yolo11.yaml")), "scale": "n"}
    given["backbone"][1:3] = [[-1, 1, "StarCSP", [64]], row]
    with pytest.raises((TypeError, ValueError), match="unpack") as error:
        tasks.parse_model(given, 3, verbose=False)
    assert not isinstance(error.value, LayerError)


def test_a_layer_inside_of_a_backbone_may_be_in_a_row_only_if_it_is_registered_too(plugin_table: plugins.Table):
    class Inside(Same):
        pass

    plugin_table.add([Backbone("net", lambda in_channels: [], (Inside, Same))])
    assert build(with_row("[-1, 1, Same, []]"))
    with pytest.raises(BackboneError, match=r"backbone row 9 .*'Inside' is a part of a backbone"):
        build(with_row("[-1, 1, Inside, []]"))


def parsed(*rows: list[Any]) -> nn.Sequential:
    """The layers that the parser builds of these rows, before a model runs them."""
    given = {**yaml.safe_load(stock("yolo11.yaml")), "scale": "n", "backbone": [*rows], "head": []}
    return tasks.parse_model(given, 3, verbose=False)[0]


def test_the_check_leaves_every_module_in_training_mode():
    layers = parsed([-1, 1, "Conv", [64, 3, 2]], [-1, 2, "Same", []])
    assert all(module.training is True for module in layers.modules())


def test_a_stock_row_that_fails_on_the_trial_image_is_left_to_ultralytics():
    assert len(parsed([-1, 1, "nn.Conv2d", [7, 7, 1]], [-1, 1, "Same", []])) == 2
