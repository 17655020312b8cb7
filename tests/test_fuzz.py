"""Whatever a user writes builds and runs, or ends in an error of ours, or in the error of Ultralytics for that fault.

A case that fails becomes an `@example` here. `YOLO_STARNET_FUZZ` sets the number of cases, 200 unless given:
`YOLO_STARNET_FUZZ=10000 pytest tests/test_fuzz.py --hypothesis-show-statistics` also counts how they ended.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, event, example, given, settings
from ultralytics import cfg
from ultralytics.nn import tasks
from ultralytics.nn.modules import Conv

import fuzzing
import yolo_starnet
from yolo_starnet import cli, plugins
from yolo_starnet.errors import YOLOStarNetError
from yolo_starnet.model_yaml import expand

CASES = int(os.environ.get("YOLO_STARNET_FUZZ", "200"))
PACKAGE = str(Path(yolo_starnet.__file__).parent)
SPARE_MEMORY = 4 << 30
"""Bytes that a case may allocate. What needs more fails at once, and the machine stays alive."""


def cases(share: float) -> settings:
    """A share of all cases. The few of CI are the same in every run, those of the night are not."""
    return settings(
        max_examples=max(int(CASES * share), 1),
        derandomize=CASES <= 200,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    """The memory of this process is limited, where the system can limit it."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def stock() -> Iterator[None]:
    """Inside, models are built and names resolved without the plugin."""
    functions = {name: inspect.unwrap(getattr(tasks, name)) for name in ("parse_model", "check_yaml")}
    with mock.patch.multiple(tasks, **functions):
        yield


def ends(run: Callable[[], object]) -> BaseException | None:
    """The error that something ends in; None if it ends well."""
    activation = Conv.default_act
    try:
        run()
    except (Exception, SystemExit) as error:
        return error
    finally:
        Conv.default_act = activation  # the parser leaves it changed when it fails
    return None


def check(ours: BaseException | None, theirs: Callable[[], BaseException | None]) -> None:
    """The property of this file.

    Args:
        ours: How a case ended.
        theirs: Runs the same case, with stock rows in place of ours, without the plugin.
    """
    if ours is None or isinstance(ours, YOLOStarNetError):
        event("an error of ours" if ours else "well")
        return
    event("the error of Ultralytics")
    file, line = innermost(ours)
    assert not file.startswith(PACKAGE), f"a raw error of {file}:{line}: {ours!r}"
    expected = theirs()
    assert type(ours) is type(expected), f"{ours!r} at {file}:{line}, but Ultralytics: {expected!r}"


def innermost(error: BaseException) -> tuple[str, int]:
    """File and line of the last frame of a traceback."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    return (frame.tb_frame.f_code.co_filename, frame.tb_lineno) if frame else ("", 0)


def build_and_run(model: dict[str, Any]) -> None:
    built = tasks.DetectionModel(deepcopy(model), verbose=False)
    with torch.no_grad():
        built.eval()(torch.zeros(1, 3, 64, 64))


def with_stock_rows(model: dict[str, Any]) -> dict[str, Any]:
    """The model with stock levels of as many channels in place of its backbone row, and a stock row for each layer."""
    model = deepcopy(model)
    for section in ("backbone", "head"):
        rows = model.get(section)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, list) and len(row) == 4 and row[2] in ("StarCSP", "StarFuse"):
                row[2:] = ["C2f", row[3]] if row[2] == "StarCSP" else ["Concat", [1]]
    first = next(iter(model["backbone"]), None) if isinstance(model.get("backbone"), list) else None
    readable = expand.scale_constants(model) is not None  # else the parser fails before it reads a row
    if readable and expand.module_name(first) in plugins.table() and len(first) == 4:
        with suppress(YOLOStarNetError):
            levels = expand.expand(model, 3, plugins.table(), vars(tasks))["backbone"][:5]
            model["backbone"][:1] = [[-1, 1, "ResNetLayer", [a, b // 4, 2, False, 1]] for *_, (a, b, *_) in levels]
    return model


def in_stock(model: dict[str, Any]) -> BaseException | None:
    with stock():
        return ends(lambda: build_and_run(with_stock_rows(model)))


def test_the_base_of_all_mutations_builds_and_runs():
    build_and_run(fuzzing.BASE)
    assert in_stock(fuzzing.BASE) is None


@cases(0.7)
@given(fuzzing.models())
@example({**fuzzing.BASE, "backbone": [[1, -7, "nn.Identity", []], *fuzzing.BASE["backbone"]]})  # IndexError of ours
@example({**fuzzing.BASE, "nc": -7, "backbone": [fuzzing.BASE["backbone"][0], [-1, 2, "StarCSP", []]]})  # 1 channel
@example(
    {**fuzzing.BASE, "backbone": [fuzzing.BASE["backbone"][0], [-1, 3, "SPPF", [32, 5]], [-1, 1, "StarCSP", [32]]]}
)
def test_a_mutated_model_builds_and_runs_or_ends_in_an_error_of_ours_or_that_of_ultralytics(model: dict[str, Any]):
    check(ends(lambda: build_and_run(model)), lambda: in_stock(model))


@cases(0.15)
@given(fuzzing.timm_options)
def test_any_options_of_timm_build_and_run_or_end_in_an_error_of_ours(options: dict[str, Any]):
    model = {**fuzzing.BASE, "backbone": [[-1, 1, "timm", options]], "head": [[[2, 3, 4], 1, "Detect", ["nc"]]]}
    check(ends(lambda: build_and_run(model)), lambda: None)


@cases(0.1)
@given(fuzzing.config_names)
@example("yolo11n-timm_\0.yaml")  # was taken for a config name, and a file of that name was written
def test_any_name_is_a_model_or_ends_in_an_error_of_ours_or_that_of_ultralytics(name: str):
    def in_stock() -> BaseException | None:
        with stock():
            return ends(lambda: tasks.yaml_model_load(name))

    check(ends(lambda: tasks.yaml_model_load(name)), in_stock)


@cases(0.05)
@given(fuzzing.command_lines)
@example(["family=[", "=", "no_such_key=1"])
def test_any_command_line_ends_well_or_in_one_line_of_ours_or_in_the_error_of_ultralytics(line: list[str]):
    def in_stock() -> BaseException | None:
        before = sys.argv[:]
        sys.argv[:] = ["yolo", *line]  # in place: Ultralytics holds this very list
        try:
            return ends(cfg.entrypoint)
        finally:
            sys.argv[:] = before

    check(ends(lambda: cli.main(line)), in_stock)
