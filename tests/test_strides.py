"""Strides of rows: measured by the stock parser and the stock loop, whatever the plugin's state."""

from typing import Any

import pytest
import torch
import yaml
from ultralytics import YOLO
from ultralytics.nn import tasks

import yolo_starnet
from yolo_starnet.errors import BackboneError
from yolo_starnet.model_yaml import names, strides
from yolo_starnet.patching import patch

YOLO11 = [2, 4, 4, 8, 8, 16, 16, 32, 32, 32, 32]


def stock(name: str) -> dict[str, Any]:
    return yaml.safe_load(names.stock_file(name).read_text(encoding="utf-8"))


def test_a_list_of_feature_maps_has_no_stride():
    found = strides.of_rows(stock("yolov9e.yaml"))
    assert found[:10] == [1, 2, 4, 4, 8, 8, 16, 16, 32, 32]
    assert found[10:15] == [None] * 5


@pytest.mark.parametrize("active", [True, False], ids=["active", "inactive"])
def test_strides_do_not_depend_on_the_plugin(active: bool):
    if not active:
        yolo_starnet.deactivate()
    assert strides.of_rows(stock("yolo11.yaml")) == YOLO11


def test_strides_can_be_measured_in_the_middle_of_an_activation(monkeypatch: pytest.MonkeyPatch):
    yolo_starnet.deactivate()
    during: list[Any] = []

    def measure() -> list[Any]:
        during.append(strides.of_rows(stock("yolo11.yaml")))
        return []

    spread = [step for original in patch._PATCHES for step in (original, measure)]
    monkeypatch.setattr(patch, "_PATCHES", (measure, *spread))
    yolo_starnet.activate()
    assert during == [YOLO11] * len(spread[::2]) + [YOLO11]


def test_the_patched_parser_is_never_asked(monkeypatch: pytest.MonkeyPatch):
    patched = tasks.parse_model

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the patched parser was called")

    refuse.__wrapped__ = patched  # type: ignore[attr-defined]  # as functools.wraps sets it
    monkeypatch.setattr(tasks, "parse_model", refuse)
    assert strides.of_rows(stock("yolo11.yaml")) == YOLO11


@pytest.mark.parametrize(
    ("module", "suggestion"), [("Convv", "did you mean 'Conv'"), ("starnet_s1", "no module 'starnet_s1'")]
)
def test_a_row_that_is_not_stock_is_named(module: str, suggestion: str):
    model = stock("yolo11.yaml")
    model["backbone"][1][2] = module
    with pytest.raises(BackboneError, match=f"no module '{module}'") as error:
        strides.of_rows(model)
    assert suggestion in str(error.value)


def test_a_whole_network_in_a_row_is_not_built():
    assert strides.of_rows(stock("yolo11-cls-resnet18.yaml")) == [None]


def test_strides_leave_the_model_and_the_random_numbers_alone():
    model, state = stock("yolo11.yaml"), torch.get_rng_state()
    strides.of_rows(model)
    assert model == stock("yolo11.yaml")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["yolo11n.yaml", "yolov9t.yaml", "yolo11n-starnet.yaml"])
def test_running_the_rows_gives_what_the_stock_loop_gives(name: str):
    model = YOLO(name).model.eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        outputs = list(strides.run_rows(model.model, image))
        assert [layer for layer, _ in outputs] == list(model.model)
        assert torch.equal(outputs[-1][1][0], model(image)[0])
