"""Write docs/compatibility.md from what `nox -s ultralytics` left in build/compatibility."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
HEAD = """# Compatibility

Written by `benchmarks/compatibility.py` from the results of `nox -s ultralytics`; each cell is one test of
`tests/test_versions.py`, run on that release: ✓ passed, ✗ failed, - skipped. A release whose parser is not as expected
is refused when `yolo_starnet` is imported, with an `UnsupportedUltralyticsError`, and left as it is.

Weights go from release to release as far as Ultralytics itself lets them: those of YOLOv8-StarNet were read by 8.1.0,
8.2.103, 8.3.0 and 8.4.190, whichever of 8.1.0, 8.2.103 and 8.4.190 had trained them; YOLO11-StarNet likewise between
8.3.0 and 8.4.190. Before 8.3 there is no YOLO11: its weights end in Ultralytics' `Can't get attribute 'C2PSA'`.
Releases before 8.3 cannot read any checkpoint with torch 2.6 or later, and 8.1.0 trains offline only after
`yolo settings hub=False`.

"""


def main() -> None:
    """Read the result files and write the table."""
    files = sorted((ROOT / "build" / "compatibility").glob("*.xml"), key=lambda f: [int(n) for n in f.stem.split(".")])
    rows, checks = [], []
    for file in files:
        suite = ElementTree.parse(file).getroot().find("testsuite")
        assert suite is not None, file
        properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
        outcome: dict[str, str] = {}
        for case in suite.iter("testcase"):
            check = re.sub(r"^test_|\[.*", "", case.get("name", ""))
            bad = case.find("failure") is not None or case.find("error") is not None
            found = "✗" if bad else "-" if case.find("skipped") is not None else "✓"
            outcome[check] = found if outcome.get(check, "✓") == "✓" else outcome[check]
        checks = checks or list(outcome)
        rows.append(
            [
                properties["ultralytics"],
                properties["torch"],
                properties["python"],
                *(outcome.get(c, "") for c in checks),
            ]
        )
    table = [["Ultralytics", "torch", "Python", *(c.replace("_", " ") for c in checks)]]
    table += [["---"] * len(table[0]), *rows]
    passed = sum(set(row[3:]) <= {"✓"} for row in rows)
    text = f"{HEAD}{passed} of {len(rows)} releases pass every check.\n\n" + "\n".join(
        f"| {' | '.join(r)} |" for r in table
    )
    (ROOT / "docs" / "compatibility.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
