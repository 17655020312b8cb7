"""What the plugin finds in this environment, what of it does not fit, and what mends it.

It imports nothing at the top that may be missing or broken: it must say so itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from . import doctor_host, doctor_machine
from .doctor_finding import Finding

CHECKS: dict[str, Callable[[], Iterable[Finding]]] = {
    "versions": doctor_machine.versions,
    "Ultralytics' files": doctor_host.files,
    "activation": doctor_host.activation,
    "patches": doctor_host.patches,
    "plugins": doctor_host.plugins,
    "enable": doctor_host.enabled,
    "folders": doctor_machine.folders,
    "devices": doctor_machine.devices,
    "variables": doctor_machine.variables,
    "export runtimes": doctor_machine.runtimes,
}
"""Section of the report to the function that fills it."""


def doctor(as_json: bool = False) -> int:
    """Print the report.

    Args:
        as_json: Print it as JSON.

    Returns:
        The exit status: 0 only where everything fits.
    """
    report = examine()
    problems = [finding for findings in report.values() for finding in findings if finding.problem]
    if as_json:
        sections = {section: [finding._asdict() for finding in findings] for section, findings in report.items()}
        print(json.dumps({"fits": not problems, "sections": sections}, indent=2))
    else:
        print("\n".join(_lines(report, problems)))
    return int(bool(problems))


def examine() -> dict[str, list[Finding]]:
    """Every section of the report. A check that fails is a finding too."""
    return {section: list(_guarded(check)) for section, check in CHECKS.items()}


def _guarded(check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # whatever is broken here, the other checks go on
        yield Finding("not checked", problem=f"{type(error).__name__}: {error}", mend=doctor_host.REINSTALL)


def _lines(report: dict[str, list[Finding]], problems: Sequence[Finding]) -> Iterator[str]:
    for section, findings in report.items():
        yield section
        for finding in findings:
            yield f"{'!' if finding.problem else ' '} {finding.name:<33} {finding.value}".rstrip()
            if finding.problem:
                yield f"      problem: {finding.problem}"
                yield f"      mend:    {finding.mend}"
        yield ""
    yield f"{len(problems)} of the lines above do not fit; they begin with '!'." if problems else "Everything fits."
