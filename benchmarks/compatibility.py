"""Write docs/compatibility.md from the test results that `nox -s ultralytics` left in build/compatibility."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from markdown_table import table

ROOT = Path(__file__).parents[1]
HEAD = """# Compatibility

`benchmarks/compatibility.py` writes this page from the results of `nox -s ultralytics`. Each cell is one test of
`tests/test_versions.py` on that release: ✓ passed, ✗ failed, - skipped. If the parser of a release is not as expected,
`import yolo_starnet` raises `UnsupportedUltralyticsError` and changes nothing.

Weights can be exchanged between releases as far as Ultralytics supports it. Weights of YOLOv8-StarNet were trained by
8.1.0, 8.2.103 and 8.4.190, and each was read by 8.1.0, 8.2.103, 8.3.0 and 8.4.190. Weights of YOLO11-StarNet were
exchanged in the same way between 8.3.0 and 8.4.190. Releases before 8.3 have no YOLO11, and its weights raise
Ultralytics' error `Can't get attribute 'C2PSA'` there. Releases before 8.3 cannot read any checkpoint with torch 2.6 or
later. 8.1.0 trains offline only after `yolo settings hub=False`.

"""


class Release(NamedTuple):
    """The test results of one release of Ultralytics."""

    versions: list[str]
    """Of Ultralytics, torch and Python."""
    marks: dict[str, str]
    """✓, ✗ or - by the name of the check."""


def main() -> None:
    """Read the result files and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    files = sorted((ROOT / "build" / "compatibility").glob("*.xml"), key=lambda f: [int(n) for n in f.stem.split(".")])
    if not files:
        parser.error("build/compatibility has no results; run `nox -s ultralytics` first")
    (ROOT / "docs" / "compatibility.md").write_text(page([read(f) for f in files]), encoding="utf-8")


def read(file: Path) -> Release:
    """Read a JUnit XML file of tests/test_versions.py."""
    suite = ElementTree.parse(file).getroot().find("testsuite")
    if suite is None:
        raise ValueError(f"{file} has no <testsuite>; run `nox -s ultralytics` again")
    properties = {p.get("name"): p.get("value", "") for p in suite.iter("property")}
    marks: dict[str, str] = {}
    for case in suite.iter("testcase"):
        check = re.sub(r"^test_|\[.*", "", case.get("name", ""))
        if marks.get(check, "✓") == "✓":  # one bad parameter decides for all of a test
            marks[check] = _mark(case)
    return Release([properties[name] for name in ("ultralytics", "torch", "python")], marks)


def _mark(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "✗"
    return "-" if case.find("skipped") is not None else "✓"


def page(releases: list[Release]) -> str:
    """The text of docs/compatibility.md."""
    checks = list(releases[0].marks) if releases else []
    heads = ["Ultralytics", "torch", "Python", *(c.replace("_", " ") for c in checks)]
    rows = [[*r.versions, *(r.marks.get(c, "") for c in checks)] for r in releases]
    passed = sum(set(row[3:]) <= {"✓"} for row in rows)
    count = f"{passed} of {len(rows)} releases pass every check."
    return f"{HEAD}{count}\n\n" + "\n".join(table(heads, rows)) + "\n"


if __name__ == "__main__":
    main()
