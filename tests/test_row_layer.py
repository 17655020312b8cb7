"""RowLayer: what a plugin may register, and what is refused when it does."""

from typing import Any

import pytest
from torch import nn

from yolo_starnet import RowLayer, layers
from yolo_starnet.errors import PluginError
from yolo_starnet.plugins import Table


class Keep(nn.Module):
    @staticmethod
    def out_channels(c1: int, *_: object) -> int:
        return c1


class Mute(nn.Module):
    """Lacks out_channels."""


class Detached:
    out_channels = Keep.out_channels


@pytest.fixture
def table() -> Table:
    return Table(reserved={"Conv": nn.Conv2d, "Keep2": object()})


def test_a_class_alone_stands_for_a_layer_of_one_input(table: Table):
    table.add([], [Keep], "some-package")
    assert table.layers == {"Keep": RowLayer(Keep, distribution="some-package")}
    assert table.modules == {"Keep": Keep}
    assert table.packages == {Keep.__module__.partition(".")[0]}


def test_the_shipped_star_layers_come_through_the_same_door():
    assert {"StarFuse", "StarCSP"} <= layers().keys()


@pytest.mark.parametrize(
    ("registered", "message"),
    [
        pytest.param(Mute, "Mute lacks a static method out_channels", id="no out_channels"),
        pytest.param(Detached, "module must be a class derived from torch.nn.Module, found <class", id="no module"),
        pytest.param(Keep(), "module must be a class derived from torch.nn.Module, found Keep", id="an instance"),
        pytest.param(
            RowLayer(Keep, inputs=0),
            "inputs of Keep must be a number from 1 up or .least, most., found 0",
            id="inputs 0",
        ),
        pytest.param(RowLayer(Keep, inputs=(3, 2)), r"found \(3, 2\)", id="inputs upside down"),
        pytest.param(RowLayer(Keep, inputs=(1, 2, 3)), r"found \(1, 2, 3\)", id="inputs of three"),
        pytest.param(
            RowLayer(Keep, repeats="twice"),
            "repeats of Keep must be 'stack' or 'argument', found 'twice'",
            id="repeats",
        ),
        pytest.param(
            type("Conv", (Keep,), {}),
            "class name 'Conv' of a layer is taken; choose another",
            id="a name of Ultralytics",
        ),
    ],
)
def test_a_bad_registration_is_refused_and_nothing_of_it_stays(registered: Any, message: str, table: Table):
    with pytest.raises(PluginError, match=message):
        table.add([], [type("Good", (Keep,), {}), registered])
    assert (dict(table), table.layers, table.modules) == ({}, {}, {})


def test_a_name_is_taken_once(table: Table):
    table.add([], [Keep])
    with pytest.raises(PluginError, match="layer name 'Keep' is taken"):
        table.add([], [Keep])
