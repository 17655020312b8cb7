"""The recompiled parser: it asks registered classes for their channels and is the stock function otherwise."""

import inspect
import traceback
from typing import Any

import pytest
import yaml
from torch import nn
from ultralytics.nn import tasks

from yolo_starnet.model_yaml import names
from yolo_starnet.patching import recompile


class Doubled(nn.Module):
    """A layer with twice as many output channels as its one argument says."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    @staticmethod
    def out_channels(channels: int) -> int:
        return 2 * channels


STOCK = inspect.unwrap(tasks.parse_model)
ROWS = [[-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Doubled", [16]], [-1, 1, "Conv", [8, 1, 1]]]


def answer_for(*classes: type) -> recompile.Answer:
    """Answers for `classes`, by their out_channels, and for no other class."""

    def answer(module: Any, args: list[Any], source: Any, repeats: int, channels: list[int]) -> int | None:
        return module.out_channels(*args) if module in classes else None

    return answer


def model(*rows: list[Any]) -> dict[str, Any]:
    return {"nc": 80, "backbone": [[*row[:3], list(row[3])] for row in rows], "head": []}


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "Doubled", Doubled, raising=False)


@pytest.mark.parametrize(("asked", "channels"), [([Doubled], 32), ([], 16)], ids=["registered", "not registered"])
def test_only_registered_classes_are_asked_for_their_channels(asked: list[type], channels: int, doubled: None):
    layers, _ = recompile.ask_for_channels(STOCK, answer_for(*asked))(model(*ROWS), 3, verbose=False)
    assert layers[2].conv.in_channels == channels


@pytest.mark.parametrize("asked", [[Doubled], []], ids=["registered", "not registered"])
def test_a_row_that_takes_several_layers_reaches_the_class(asked: list[type], doubled: None):
    rows = model(*ROWS[:2], [[0, 1], 1, "Doubled", [4]], [-1, 1, "Conv", [8, 1, 1]])
    parse = recompile.ask_for_channels(STOCK, answer_for(*asked))
    if asked:
        assert parse(rows, 3, verbose=False)[0][3].conv.in_channels == 8
    else:
        with pytest.raises(TypeError, match="list indices must be integers"):  # as the stock parser does
            parse(rows, 3, verbose=False)


def test_a_stock_model_is_parsed_as_before():
    text = names.stock_file("yolo11.yaml").read_text(encoding="utf-8")
    layers, save = recompile.ask_for_channels(STOCK, answer_for(Doubled))(
        {**yaml.safe_load(text), "scale": "n"}, 3, verbose=False
    )
    expected, expected_save = STOCK({**yaml.safe_load(text), "scale": "n"}, 3, verbose=False)
    assert str(layers) == str(expected)
    assert save == expected_save


def test_a_traceback_points_at_the_installed_line():
    parse = recompile.ask_for_channels(STOCK, answer_for())
    lines = []
    for function in (STOCK, parse):
        with pytest.raises(KeyError) as error:
            function(model([-1, 1, "Nothing", []]), 3, verbose=False)
        frame = traceback.extract_tb(error.value.__traceback__)[-1]
        lines.append((frame.filename, frame.lineno, frame.line))
    assert lines[0] == lines[1]


def test_the_original_and_its_globals_stay_as_they_are():
    code, names_before = STOCK.__code__, set(STOCK.__globals__)
    parse = recompile.ask_for_channels(STOCK, answer_for())
    assert STOCK.__code__ is code
    assert parse.__globals__ is STOCK.__globals__
    assert set(STOCK.__globals__) == names_before


def test_the_answer_gets_the_row_and_may_put_input_channels_in_front_of_its_arguments(doubled: None):
    asked: list[Any] = []

    def answer(module: Any, args: list[Any], source: Any, repeats: int, channels: list[int]) -> int | None:
        asked.append((module, list(args), source, repeats, list(channels)))
        args[:] = [channels[source] // 4]
        return 2 * channels[source]

    rows = model([-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Doubled", []], [-1, 1, "Conv", [8, 1, 1]])
    layers, _ = recompile.ask_for_channels(STOCK, answer)(rows, 3, verbose=False)
    assert asked == [(Doubled, [], -1, 1, [16])]
    assert layers[2].conv.in_channels == 32
