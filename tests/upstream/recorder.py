"""A pytest plugin for Ultralytics' own tests: runs those whose data is here, and records what each test ended with."""

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

NEEDS_DATA = "environment is offline"
"""Ultralytics' reason for skipping tests that download data. The data is here; what else they need fails alike."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the slow exports, which take hours, and lift the marks that skip a test because of its data."""
    left_out = [item for item in items if item.get_closest_marker("slow") and "test_exports" in item.nodeid]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    for item in items:
        item.own_markers = [mark for mark in item.own_markers if mark.kwargs.get("reason") != NEEDS_DATA]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record the type of an error, and whether the plugin was active in this process."""
    report = yield
    if call.excinfo:
        report.user_properties.append(("error", call.excinfo.typename))
    if report.when == "teardown":
        module = sys.modules.get("yolo_starnet")
        report.user_properties.append(("plugin", str(module is not None and module.is_active())))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append a report to the file of results, in the process that xdist's workers report to, so that a crash counts."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        line = {"test": report.nodeid, "result": report.outcome, **dict(report.user_properties)}
        with Path(os.environ["UPSTREAM_RESULTS"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
