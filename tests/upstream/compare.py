"""Runs Ultralytics' own tests with and without the plugin, and exits with 1 if any test ends differently.

    python tests/upstream/compare.py 8.4.190

The tests come from the sdist of that release. Two environments are made from the same packages: `stock`, and `plugin`,
which has yolo-starnet in addition, enabled in every process. Both run at the same time, offline, each on one core and
with data and weights of its own. A test whose process was killed runs again at the end, in one environment after the
other: one of them takes 10 GB of memory.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = [f"tests/test_{name}.py" for name in ("engine", "exports", "solutions", "cli", "python")]
PACKAGES = [
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "onnx",
    "onnxruntime",
    "onnxslim",
    "lap",
    "shapely",
    "ray[tune]",
]
"""What the tests need besides Ultralytics."""
OFFLINE: dict[str, str] = dict.fromkeys(
    ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
)
"""A proxy that nothing listens at: what needs the network fails at once, and alike on every machine."""
SETTINGS = """
import sys, ultralytics
folders = {f"{name}_dir": f"{sys.argv[1]}/{name}" for name in ("datasets", "weights", "runs")}
ultralytics.settings.update({**folders, "sync": False})
"""


class Outcome(NamedTuple):
    """What a test ended with."""

    result: str
    """passed, failed or skipped."""
    error: str = ""
    """The type of the error."""
    plugin: str = ""
    """Whether the plugin was active at the end of the test: True, False, or '' if its process ended before."""

    @property
    def ending(self) -> str:
        """What the comparison compares: the result and the type of the error."""
        return f"{self.result} {self.error}".strip()

    @property
    def was_killed(self) -> bool:
        """Whether its process ended before the test did."""
        return self.result == "failed" and not self.error


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare both environments, run the tests in both, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", help="the release of Ultralytics")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "upstream", help="folder for everything")
    parser.add_argument("--limit", default="1200", help="seconds per test")
    parser.add_argument("-k", default="", help="run only these tests, as pytest's -k")
    given = parser.parse_args(argv)
    work = given.work.resolve()
    if work.exists() and not (work / "packages.txt").is_file():
        parser.error(f"{work} exists and is not of an earlier run; delete it, or name another folder with --work")
    shutil.rmtree(work, ignore_errors=True)
    environments(work, given.release)
    tests(work, given.release)
    assets(work)
    options = ["--timeout", given.limit, *(["-k", given.k] if given.k else [])]
    runs = [(name, start(work, name, options)) for name in ("stock", "plugin")]
    for name, run in runs:
        print(f"{name}: pytest ended with {run.wait()}; its output is in {work / name}.log")
    outcomes = {name: read(work / f"{name}.jsonl") for name, _ in runs}
    if killed := sorted({test for found in outcomes.values() for test, end in found.items() if end.was_killed}):
        for name in outcomes:
            start(work, name, options, killed, "-again").wait()
            outcomes[name] |= read(work / f"{name}-again.jsonl")
    return report(outcomes["stock"], outcomes["plugin"])


def environments(work: Path, release: str) -> None:
    """Make two environments with the same packages, and the enabled plugin in one of them."""
    pinned = work / "packages.txt"
    for name in ("plugin", "stock"):
        call("uv", "venv", "-q", "--python", sys.executable, work / name / "venv")
    install = ["uv", "pip", "install", "-q", "--python"]
    plugin = work / "plugin" / "venv"
    call(*install, python(plugin), f"ultralytics=={release}", ROOT, *PACKAGES)
    packages = call("uv", "pip", "freeze", "--python", python(plugin)).splitlines()
    pinned.write_text("\n".join(p for p in packages if not p.startswith("yolo-starnet")), encoding="utf-8")
    call(*install, python(work / "stock" / "venv"), "-r", pinned)
    call(plugin / "bin" / "yolo-starnet", "enable", env=environment(work, "plugin"))


def tests(work: Path, release: str) -> None:
    """Take the tests from the sdist; the package itself stays in the archive."""
    download = ["download", "-q", "--no-deps", "--no-binary", "ultralytics", "--dest", work, f"ultralytics=={release}"]
    call(sys.executable, "-m", "pip", *download)
    (file,) = work.glob("ultralytics-*.tar.gz")
    with tarfile.open(file) as archive:
        members = [m for m in archive.getmembers() if m.isfile() and m.name.split("/")[1] == "tests"]
        archive.extractall(work, members, filter="data")
    for name in ("stock", "plugin"):
        shutil.copytree(next(work.glob("ultralytics-*/tests")), work / name / "tests")


def assets(work: Path) -> None:
    """Make data and weights without the plugin, and give a copy to both environments."""
    settings(work, "stock")
    call(python(work / "stock" / "venv"), HERE / "assets.py", env=environment(work, "stock"), cwd=work / "stock")
    for folder in ("datasets", "weights"):
        shutil.copytree(work / "stock" / folder, work / "plugin" / folder)
    settings(work, "plugin")


def settings(work: Path, name: str) -> None:
    """Point the settings of Ultralytics to the folders of an environment."""
    call(python(work / name / "venv"), "-c", SETTINGS, work / name, env=environment(work, name))


def start(
    work: Path, name: str, options: list[str], tests: Sequence[str] = FILES, suffix: str = ""
) -> subprocess.Popen[bytes]:
    """Start the tests of one environment. A worker of xdist runs them, so that a crash ends one test and not all."""
    plugins = ["-p", "xdist", "-n", "1", "--max-worker-restart", "50", "-p", "recorder", "--slow"]
    command = [python(work / name / "venv"), "-m", "pytest", "-q", *tests, *plugins, *options]
    log = (work / f"{name}{suffix}.log").open("wb")
    env = {**environment(work, name), "PYTHONPATH": str(HERE), "UPSTREAM_RESULTS": f"{work / name}{suffix}.jsonl"}
    return subprocess.Popen(command, cwd=work / name, env=env, stdout=log, stderr=subprocess.STDOUT)


def environment(work: Path, name: str) -> dict[str, str]:
    """The environment variables of all processes of one environment."""
    config, binaries = work / name / "config", work / name / "venv" / "bin"
    config.mkdir(parents=True, exist_ok=True)
    ours = {"YOLO_CONFIG_DIR": str(config), "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "MPLBACKEND": "Agg"}
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    unset = {"PYTHONPATH", "VIRTUAL_ENV", "ULTRALYTICS_SAFE_LOAD", "GITHUB_ACTIONS"}
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    return {**kept, **OFFLINE, **ours, "PATH": path, "OMP_NUM_THREADS": "1"}


def python(venv: Path) -> Path:
    """The Python of a virtual environment."""
    return venv / "bin" / "python"


def call(*command: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command that must succeed, and return what it prints."""
    done = subprocess.run([str(c) for c in command], env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def read(file: Path) -> dict[str, Outcome]:
    """Read what recorder.py wrote, which is a line for each phase of a test: test to outcome. No file, no tests."""
    outcomes: dict[str, Outcome] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        phase = json.loads(line)
        before = outcomes.get(phase["test"], Outcome("passed"))
        error = before.error or phase.get("error", "")
        worst = max(before.result, phase["result"], key=["passed", "skipped", "failed"].index)
        outcomes[phase["test"]] = Outcome(worst, error, phase.get("plugin", before.plugin))
    return outcomes


def report(stock: dict[str, Outcome], plugin: dict[str, Outcome]) -> int:
    """Print the counts and every difference, and return the exit status."""
    for name, outcomes in (("stock", stock), ("plugin", plugin)):
        counts = Counter(outcome.result for outcome in outcomes.values())
        print(f"{name}: {len(outcomes)} tests, {dict(counts)}")
    found = [*differences(stock, plugin)]
    print("\n".join(found) or "Every test ends alike with and without the plugin.")
    return 1 if found else 0


def differences(stock: dict[str, Outcome], plugin: dict[str, Outcome]) -> Iterator[str]:
    """A line for each test that ended differently or ran in the wrong environment; one line if nothing ran."""
    if not any(outcome.result == "passed" for outcome in stock.values()):
        yield "No test passed without the plugin, so there is nothing to compare with."
    missing = Outcome("missing")
    for test in sorted(stock.keys() | plugin.keys()):
        without, with_plugin = stock.get(test, missing), plugin.get(test, missing)
        if without.ending != with_plugin.ending:
            yield f"{test}: {without.ending} without the plugin, {with_plugin.ending} with it"
        if without.plugin == "True" or with_plugin.plugin == "False":
            yield f"{test}: the plugin was active without being installed, or inactive although enabled"


if __name__ == "__main__":
    sys.exit(main())
