"""The code blocks of the documentation: each runs and prints what the page shows, or says why it is not run."""

import re
import shutil
from pathlib import Path

import pytest

import documentation
from documentation import PAGES, ROOT, RUNNERS, Block
from yolo_starnet.demo import datasets

BLOCKS = {str(page.relative_to(ROOT).as_posix()): documentation.blocks(page) for page in PAGES}
TESTS = {
    name for file in ROOT.glob("tests/test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
}


@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if any(not block.how for block in blocks)])
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    page: str, request: pytest.FixtureRequest, log: list[str], capsys: pytest.CaptureFixture[str]
):
    def printed() -> str:
        captured, lines = capsys.readouterr(), "\n".join(log)
        log.clear()
        return f"{captured.out}{captured.err}\n{lines}"

    blocks = [block for block in BLOCKS[page] if not block.how]
    provide_files("".join(str(block.example.parsed) for block in blocks), request)
    for block in blocks:
        documentation.run(block, printed)


def provide_files(text: str, request: pytest.FixtureRequest) -> None:
    """Put the files that the blocks name into the working directory."""
    if "image.jpg" in text:
        shutil.copy(request.getfixturevalue("photograph"), "image.jpg")
    if "best.pt" in text:
        shutil.copy(request.getfixturevalue("trained") / "weights" / "best.pt", "best.pt")
    if "my.yaml" in text:
        shutil.copy(datasets.prepare(), "my.yaml")


@pytest.mark.parametrize("page", BLOCKS)
def test_every_block_is_run_or_says_why_not(page: str):
    silent = [block.place for block in BLOCKS[page] if not block.how and block.language not in RUNNERS]
    assert not silent, "put <!-- not run: REASON --> or <!-- run by: TEST --> before these blocks"


@pytest.mark.parametrize("page", BLOCKS)
def test_a_block_that_another_test_runs_names_a_test(page: str):
    named = {block.why for block in BLOCKS[page] if block.how == "run by"}
    assert named <= TESTS


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        pytest.param("```python\n1\n```\n", False, id="run"),
        pytest.param("```rust\n1\n```\n", True, id="unknown language"),
        pytest.param("```\n1\n```\n", True, id="no language"),
        pytest.param("<!-- not run: it is Rust -->\n```rust\n1\n```\n", False, id="reason"),
        pytest.param("<!-- not run: no -->\ntext\n```rust\n1\n```\n", True, id="reason of something else"),
        pytest.param("- a\n\n  <!-- not run: no -->\n  ```rust\n  1\n  ```\n", False, id="in a list"),
        pytest.param("```python\n1\n```\n\n```text\n1\n```\n", False, id="output"),
        pytest.param("```text\n1\n```\n", True, id="output of nothing"),
    ],
)
def test_a_block_without_a_runner_or_a_reason_is_found(text: str, silent: bool, tmp_path: Path):
    (tmp_path / "page.md").write_text(text)
    blocks = documentation.blocks(tmp_path / "page.md")
    assert any(not block.how and block.language not in RUNNERS for block in blocks) == silent


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("```python\nprint(1)\n```\n\n```text\n2\n```\n", "but this was printed", id="output"),
        pytest.param("```python\n1 / 0\n```\n", "division by zero", id="error"),
        pytest.param("```python\n1\n```\n\n```text\nValueError: x\n```\n", "but this was printed", id="no error"),
        pytest.param("```console\n$ yolo-starnet graft\n```\n", "ended with 1", id="status"),
        pytest.param("```console\n$ rm x\n```\n", "cannot run 'rm x'", id="command"),
        pytest.param("```yaml\nbackbone:\n  - [-1, 1, starnet_s11, []]\n```\n", "unknown module", id="row"),
    ],
)
def test_a_block_that_is_wrong_fails(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(documentation, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(text)
    (block,) = documentation.blocks(tmp_path / "page.md")
    with pytest.raises(Exception, match=message):
        documentation.run(block, lambda: "".join(capsys.readouterr()))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("a … c", "a b c"), ("a  b", "x\na b\ny"), ("… 3 s", "took 3 s"), ("1.5\n2", "1.5\n2")],
    ids=["dots", "spaces", "dots first", "lines"],
)
def test_dots_and_spaces_in_shown_output_match_what_was_printed(shown: str, printed: str):
    documentation.check("page.md:1", shown, printed)


@pytest.mark.parametrize(("shown", "printed"), [("1.5", "1x5"), ("a b", "ab"), ("12", "1")])
def test_other_output_does_not_match(shown: str, printed: str):
    with pytest.raises(AssertionError, match=r"page\.md:1 shows"):
        documentation.check("page.md:1", shown, printed)


def test_a_block_is_found_at_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documentation, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text("# A\n\n```python\n1\n```\n")
    block: Block = documentation.blocks(tmp_path / "page.md")[0]
    assert block.place == "page.md:3"
