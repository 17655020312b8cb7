"""Any module that returns its feature maps as a list, as a backbone."""

import functools
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from ultralytics import YOLO
from ultralytics.nn import tasks

from conftest import REFERENCE, train
from yolo_starnet import Backbone, feature_maps, plugins
from yolo_starnet.errors import BackboneError
from yolo_starnet.model_yaml import expand


class Net(nn.Module):
    """Maps of strides 2, 4, …, 32 from the `first` level on, in the form of the tutorials."""

    def __init__(self, in_channels: int, first: int = 2, width: float = 1.0, lie: int = 0, stem: int = 2) -> None:
        super().__init__()
        channels = [in_channels, *(int(c * width) for c in (8, 16, 24, 32, 40))]
        self.first = first
        self.width_list = [c + lie for c in channels[first:]]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c1, c2, 3, stem if i == 0 else 2, 1), nn.BatchNorm2d(c2))
            for i, (c1, c2) in enumerate(itertools.pairwise(channels))
        )
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
            x = self.act(x)  # in place, it would change the map just returned
        return maps[self.first - 1 :]


class Said(Net):
    """The same with timm's `feature_info` in place of `width_list`."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        channels = self.width_list
        del self.width_list
        self.feature_info = type("Info", (), {"channels": lambda self: channels})()


class Silent(Net):
    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        del self.width_list


class Last(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x)[-1]


class Fixed(Net):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        assert x.shape[2:] == (224, 224), "wrong size"
        return super().forward(x)


@pytest.fixture(autouse=True)
def _register(plugin_table: plugins.Table):
    """The modules above as backbones, in the table that the plugin is active with."""
    plugin_table.add([Backbone.of_module(m.__name__.lower(), m) for m in (Net, Said, Silent, Last, Fixed)])


def config(folder: Path, name: str, args: Any = (), **replaced: str) -> Path:
    model = yaml.safe_load(REFERENCE)
    model["backbone"][0] = [-1, 1, name, args if isinstance(args, dict) else list(args)]
    file = folder / "my-yolo11n.yaml"
    text = yaml.safe_dump(model)
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("name", "args"),
    [("net", {"first": 1}), ("net", {}), ("net", {"first": 3}), ("said", {})],
    ids=["P1 to P5", "P2 to P5", "P3 to P5", "feature_info"],
)
def test_a_module_takes_the_same_indices_as_every_backbone(name: str, args: dict, tmp_path: Path):
    file = config(tmp_path, name, args)
    layers = YOLO(file).model.model
    image = torch.rand(1, 3, 64, 96)
    maps = layers[0].eval()(image)
    assert [m.f for m in layers[:6]] == [-1, 0, 0, 0, 0, -1]
    for index in range(max(args.get("first", 2) - 1, 1), 5):
        assert layers[index](maps).shape[2:] == (64 >> index + 1, 96 >> index + 1)


@pytest.mark.parametrize(
    ("module", "options", "required", "takes_any"),
    [
        (Net, ("first", "width", "lie", "stem"), (), False),
        (functools.partial(Net, first=1), ("first", "width", "lie", "stem"), (), False),
        (Silent, (), (), False),
        (lambda channels, a, *more, b=1, **others: Net(channels), ("a", "b"), ("a",), True),
    ],
    ids=["class", "partial", "no options", "function"],
)
def test_the_parameters_after_the_first_are_the_options(
    module: Any, options: tuple[str, ...], required: tuple[str, ...], takes_any: bool
):
    backbone = Backbone.of_module("mine", module)
    assert backbone.options == options
    assert backbone.required == required
    assert backbone.takes_any == takes_any


def test_options_are_read_from_another_callable_if_one_is_given():
    def build(in_channels: int, helper: int = 1, *, width: float, **options: Any) -> list[Any]:
        return []

    backbone = Backbone("mine", build, ())
    assert (backbone.options, backbone.required, backbone.takes_any) == (("width",), ("width",), True)
    backbone = Backbone("mine", build, (), options_of=Net)
    assert (backbone.options, backbone.required, backbone.takes_any) == (("first", "width", "lie", "stem"), (), False)


def test_the_width_follows_the_scale_where_the_module_takes_one(tmp_path: Path):
    model = YOLO(config(tmp_path, "net", {})).model
    assert model.model[0].net.width_list == [4, 6, 8, 10]
    assert YOLO(config(tmp_path, "net", {"width": 1.0})).model.model[0].net.width_list == [16, 24, 32, 40]


def test_its_rows_are_printed_on_one_line_each(tmp_path: Path, log: list[str]):
    tasks.DetectionModel(str(config(tmp_path, "net")))
    rows = [line.split() for line in log]
    assert [r for r in rows if r[:1] == ["0"]][-1][-2:] == ["yolo_starnet.feature_maps.FeatureMaps", "[Net]"]
    assert [r for r in rows if r[:1] == ["4"]][-1][-3:] == ["yolo_starnet.feature_maps.Select", "[3,", "10]"]


def test_the_check_draws_no_random_numbers():
    net = Net(3)
    state = torch.get_rng_state()
    feature_maps.check(net, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training


def test_a_module_stays_as_its_author_set_it_and_its_maps_are_not_overwritten(tmp_path: Path):
    model = YOLO(config(tmp_path, "net", {"width": 1.0})).model
    norms = [m for m in model.model[0].modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(n.eps, n.momentum) for n in norms} == {(1e-5, 0.1)}
    assert {m.eps for m in model.model[5].modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    with torch.no_grad():
        maps = model.eval().model[0](torch.randn(1, 3, 64, 64))
    assert all(m.min() < 0 for m in maps)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("net", {"lie": 1}, r"returned maps of shape \(1, 4, 24, 32\), .*, expected \[5, 7, 9, 11\] channels"),
        ("net", {"stem": 1}, r"strides 2, 4, 8, 16, expected 8, 16 and 32 among them"),
        ("net", {"first": 4}, r"strides 16, 32, expected 8, 16 and 32"),
        ("silent", {}, "Silent has neither 'width_list' nor 'feature_info'"),
        ("last", {}, r"Last returned a tensor of shape \(1, 10, 3, 4\), expected a list of tensors"),
        (
            "fixed",
            {},
            r"Fixed fails on an image of 96 x 128 .*accept every .* multiple of 32: AssertionError: wrong size",
        ),
        ("net", {"first": "two"}, "Net cannot be built: TypeError"),
        ("net", {"frist": 2}, "unknown option 'frist'; 'net' takes first, width, lie, stem"),
    ],
    ids=["channels", "strides", "missing strides", "no channels", "no list", "fixed size", "wrong type", "unknown"],
)
def test_a_module_that_is_not_what_it_says_is_refused(name: str, args: dict, message: str, tmp_path: Path):
    with pytest.raises(BackboneError, match=message) as refusal:
        YOLO(config(tmp_path, name, args))
    assert str(refusal.value).startswith("backbone row 0 [-1, 1,")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- 3\n", "- 0\n", r"head row 1 .* no feature map of 'net' at index 0; take 2 \(P3/8\), 3 .*, 4 \(P5/32\)$"),
        ("- 3\n", "- 1\n", "head row 1 .* at index 1;"),
        ("- 3\n", "- -7\n", "head row 1 .* at index 1;"),
    ],
    ids=["the list", "P2", "P2 counted from the row"],
)
def test_a_row_that_takes_what_is_no_feature_map_is_refused(old: str, new: str, message: str):
    given = yaml.safe_load(yaml.safe_dump({**yaml.safe_load(REFERENCE), "yaml_file": "mine.yaml"}))
    given["backbone"][0] = [-1, 1, "net", {"first": 3}]
    given["head"][1][0] = [-1, int(new[2:])]
    with pytest.raises(BackboneError, match=message):
        expand.expand(given, 3, plugins.table(), vars(tasks))


def test_a_detector_on_a_module_trains_fuses_reloads_and_exports(tmp_path: Path):
    run = train(config(tmp_path, "net"), tmp_path, epochs=1, fraction=0.025)
    model = YOLO(run / "weights" / "last.pt").model.float().eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)[0]
        exported = torch.jit.load(YOLO(run / "weights" / "last.pt").export(format="torchscript", imgsz=64))(image)
        after = model.fuse(verbose=False)(image)[0]
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()
    assert (exported - before).abs().max() <= 1e-5 * before.abs().max()
