"""Figures: what Ultralytics counts, with its log and its random numbers left as they were."""

import logging

import pytest
import torch
import yaml
from ultralytics import RTDETR, YOLO
from ultralytics.utils import LOGGER

from yolo_starnet.measuring import figures
from yolo_starnet.measuring.quiet import quiet
from yolo_starnet.model_yaml import names


def test_a_file_is_counted_as_ultralytics_counts_it_without_a_line_of_log(log: list[str]):
    expected = YOLO("yolo11n.yaml").model.info()
    log.clear()
    level = LOGGER.level
    assert figures.of_file("yolo11n.yaml") == pytest.approx(expected)
    assert log == []
    assert LOGGER.level == level


def test_counting_takes_no_random_numbers():
    state = torch.random.get_rng_state()
    figures.of_file("yolo11n.yaml")
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("name", "scale"), [("yolo11.yaml", "m"), ("rtdetr-l.yaml", "l")])
def test_figures_by_scale_are_those_of_the_model_at_that_scale(name: str, scale: str):
    model = yaml.safe_load(names.stock_file(name).read_text(encoding="utf-8"))
    by_scale = figures.by_scale({**model, "scales": {scale: model["scales"][scale]}}, name)
    build = RTDETR if "rtdetr" in name else YOLO
    assert by_scale == {scale: pytest.approx(build(name.replace("11.", f"11{scale}.")).model.info())}


def test_the_log_level_is_restored_after_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LOGGER, "level", logging.WARNING)
    with pytest.raises(KeyError), quiet():
        _ = {}["missing"]
    assert LOGGER.level == logging.WARNING


def test_figures_read_like_the_comments_of_the_stock_yamls():
    summary = "summary: 181 layers, 2,624,080 parameters, 2,624,064 gradients, 6.6 GFLOPs"
    assert str(figures.Figures(181, 2_624_080, 2_624_064, 6.61)) == summary
