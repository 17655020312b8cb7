"""Write docs/compatibility.md from what `nox -s ultralytics` left in build/compatibility."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

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
