"""Tests in environments of their own: releases of Ultralytics, kinds of worker processes, runtimes of exported files.

A skipped test fails here: each session installs all that its tests need.
"""

import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True

# The first and the last release of every minor, the newest, and about every twentieth between.
RELEASES = [
    *(f"8.1.{n}" for n in (0, 10, 20, 30, 47)),
    *(f"8.2.{n}" for n in (0, 20, 40, 60, 80, 103)),
    *(f"8.3.{n}" for n in (0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 220, 240, 253)),
    *(f"8.4.{n}" for n in (0, 20, 40, 60, 80, 100, 110, 120, 130, 140, 150, 160, 170, 180, 190)),
]
CI = ["8.1.0", "8.3.253"]
"""Those that `.ci/run` tests, beside the newest, on which the whole suite runs."""
WORKERS = ["8.1.47", "8.3.0", "8.3.253", "8.4.120", "8.4.190"]
"""Those between which the ways of starting workers changed."""
SAFE_LOADING = ["8.4.120", "8.4.190"]
"""Those of `WORKERS` that have ULTRALYTICS_SAFE_LOAD, which 8.4.80 introduced."""
RUNTIMES = {
    "openvino": ["openvino"],
    "ncnn": ["ncnn", "pnnx"],
    "mnn": ["MNN"],
    "executorch": ["executorch"],
    "litert": ["litert-torch", "ai-edge-litert"],
}
"""The packages of each export format that the extra `test` does not bring."""


def _era(release: str) -> list[str]:
    """Dependencies of the time of `release`: torch 2.6 changed what torch.load accepts, 2.9 what onnx.export writes."""
    minor = int(release.split(".")[1])
    if minor < 3:
        return ["torch<2.6", "numpy<2", "onnx<1.18"]
    return ["torch<2.9"] if minor == 3 else []


@nox.session
@nox.parametrize("release", [nox.param(r, id=r, tags=[f"{r[:3]}.x", *(["ci"] if r in CI else [])]) for r in RELEASES])
def ultralytics(session: nox.Session, release: str) -> None:
    """Test one release of Ultralytics with the torch of its time; results go to build/compatibility."""
    session.install(f"ultralytics=={release}", *_era(release), "-e", ".[test]")
    session.run(
        "pytest",
        "tests/test_versions.py",
        "-q",
        "--no-skips",
        f"--junitxml=build/compatibility/{release}.xml",
        *session.posargs,
    )


LAYERS = ["8.1.0", "8.3.0", "8.3.253", "8.4.190"]
"""Releases between which the parser or the loading of checkpoints changed."""


@nox.session
@nox.parametrize("release", LAYERS, ids=LAYERS)
def layers(session: nox.Session, release: str) -> None:
    """Train, resume, export and reload models with the layers of a package on one release of Ultralytics."""
    session.install(f"ultralytics=={release}", *_era(release), "-e", ".[test]")
    unsafe = [] if release in SAFE_LOADING else ["--allow-skip", "this release has no restricted loading"]
    session.run("pytest", "tests/test_layer_package.py", "-q", "--no-skips", *unsafe, *session.posargs)


@nox.session
@nox.parametrize("release", WORKERS, ids=WORKERS)
def workers(session: nox.Session, release: str) -> None:
    """Train in every kind of process that one release of Ultralytics starts."""
    # These releases import names from Ray that Ray has removed since.
    ray = {"8.1.47": ["ray<2.30", "pyarrow<20"], "8.3.0": ["ray<2.40", "pyarrow<20"], "8.3.253": ["pyarrow<20"]}
    session.install(f"ultralytics=={release}", *_era(release), *ray.get(release, []), "-e", ".[test,ray]")
    unsafe = [] if release in SAFE_LOADING else ["--allow-skip", "this release has no restricted loading"]
    session.run("pytest", "tests/test_workers.py", "--no-skips", *unsafe, *session.posargs)


@nox.session
def newest(session: nox.Session) -> None:
    """Test the newest release on the package index."""
    session.install("-U", "ultralytics", "-e", ".[test]")
    session.run("pytest", "tests/test_versions.py", "--no-skips", *session.posargs)


@nox.session
@nox.parametrize("format", [*RUNTIMES], ids=[*RUNTIMES])
def exports(session: nox.Session, format: str) -> None:
    """Export a model to one format and compare the boxes of its runtime with PyTorch's."""
    session.install(*RUNTIMES[format], "-e", ".[test]")
    chosen = f"boxes_are_pytorchs and {format}"
    session.run("pytest", "tests/test_export.py", "-k", chosen, "--no-skips", *session.posargs)


@nox.session
def loops(session: nox.Session) -> None:
    """Run the detection loops in examples/, also the one in C++, which needs cmake and OpenCV's development files."""
    session.install("openvino", "ncnn", "pnnx", "MNN", "-e", ".[test]")
    session.run("pytest", "tests/test_loops.py", "--no-skips", *session.posargs)


@nox.session
def upstream(session: nox.Session) -> None:
    """Run Ultralytics' own tests with and without the plugin, and compare what each ends with."""
    session.install("pip", "uv")
    session.run("python", "tests/upstream/compare.py", *(session.posargs or [RELEASES[-1]]))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site of the documentation in build/site; a dead link is an error."""
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    session.install(*extras["docs"])
    pages = Path("build", "pages")
    shutil.rmtree(pages, ignore_errors=True)
    # The layout of the repository, so that a link that works there works on the site, too.
    shutil.copytree("docs", pages / "docs")
    shutil.copytree("benchmarks", pages / "benchmarks", ignore=shutil.ignore_patterns("*.py", "*.csv", "__pycache__"))
    for page in Path().glob("*.md"):
        shutil.copy(page, pages)
    session.run("zensical", "build", "--clean", "--strict")
