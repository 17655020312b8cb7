"""`pytest --no-skips`, which the nightly workflow uses: a skipped test fails."""

import re
from pathlib import Path

import pytest

CODE = """
import pytest

def test_passes(): pass
def test_skips(): pytest.skip("no GPU")
@pytest.mark.skipif(True, reason="not on this release")
def test_is_marked(): raise AssertionError
@pytest.mark.xfail(strict=True)
def test_is_expected_to_fail(): raise AssertionError
@pytest.fixture
def ray(): pytest.importorskip("no_such_module")
def test_lacks_a_module(ray): pass
"""
BESIDE = "import pytest\n\npytest.importorskip('no_such_module')\n\ndef test_of_a_module_that_is_skipped(): pass\n"


@pytest.mark.parametrize(
    ("options", "outcomes"),
    [
        ([], {"passed": 1, "skipped": 4, "xfailed": 1}),
        (["--no-skips"], {"passed": 1, "failed": 1, "error": 3, "xfailed": 1}),
        pytest.param(
            ["--no-skips", "--allow-skip", "no GPU", "--allow-skip", "no_such_module"],
            {"passed": 1, "error": 1, "skipped": 3, "xfailed": 1},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["without", "none-allowed", "two-allowed"],
)
def test_no_skips_fails_every_skip_that_is_not_allowed(options: list[str], outcomes: dict[str, int], tmp_path, python):
    (tmp_path / "test_mine.py").write_text(CODE)
    (tmp_path / "test_beside.py").write_text(BESIDE)
    arguments = ["-p", "conftest", "-p", "no:cacheprovider", "--continue-on-collection-errors", *options, "."]
    done = python("-m", "pytest", *arguments, check=False, PYTHONPATH=str(Path(__file__).parent))
    counts = re.findall(r"(\d+) (passed|failed|error|skipped|xfailed)", done.stdout.strip().splitlines()[-1])
    assert {word: int(count) for count, word in counts} == outcomes, done.stdout
    assert done.returncode == (1 if "error" in outcomes else 0)
