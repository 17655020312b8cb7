"""The code blocks of the documentation, read by Sybil, and what runs a block of each language.

A comment before a block, which readers do not see, says why it is not run, or which test runs it:

    <!-- not run: a training of 100 epochs -->
    <!-- run by: test_the_tree_in_the_architecture_page_shows_every_file_of_the_package -->
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer
from ultralytics.nn import tasks

from yolo_starnet import cli

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)$\n", re.MULTILINE))
COMMENT = re.compile(r"<!-- (not run|run by): (.+?) -->\s*\Z", re.DOTALL)
OUTPUT = "text"
"""The language of a block that shows what the block before it prints."""


@dataclass
class Block:
    """A code block.

    Attributes:
        example: Sybil's view of it, with its page, its line and the variables of the blocks before it.
        language: The word after the fence.
        how: `not run` or `run by`, from the comment before it; '' without a comment.
        why: The rest of that comment.
        output: What the page shows that it prints, or None if it shows nothing.
    """

    example: Example
    language: str
    how: str = ""
    why: str = ""
    output: str | None = None

    @property
    def place(self) -> str:
        """The page and line."""
        return f"{Path(self.example.path).relative_to(ROOT)}:{self.example.line}"


def _fences(document: Document) -> Iterator[Region]:
    for region in FENCE(document):
        region.parsed = region.lexemes["source"]
        region.evaluator = PythonEvaluator()
        yield region


def blocks(page: Path) -> list[Block]:
    """The blocks of a page; a block of output is part of the block that it follows."""
    document = Document.parse(str(page), _fences)
    found: list[Block] = []
    end = 0
    for example in document.examples():
        region = example.region
        language = region.lexemes["language"]
        between = document.text[end : region.start]
        if language == OUTPUT and found and not between.strip() and found[-1].output is None:
            found[-1].output = str(example.parsed)
        else:
            comment = COMMENT.search(between)
            found.append(Block(example, language, *(comment.groups() if comment else ())))
        end = region.end
    return found


def run(block: Block, printed: Callable[[], str]) -> None:
    """Run a block and compare what it prints.

    Args:
        block: A block of a language in `RUNNERS`.
        printed: Returns what was printed and logged since its last call.
    """
    printed()
    RUNNERS[block.language](block, printed)


def check(place: str, shown: str, printed: str) -> None:
    """Fail unless a page shows what was printed; `…` in the page stands for anything, such as a number that varies."""
    expected = ".*?".join(re.escape(part.strip()) for part in shown.strip().split("…"))
    pattern = re.sub(r"(\\[ \n])+|\s+", r"\\s+", expected).replace(".*?", r"\s*.*?\s*")
    assert re.search(pattern, printed, re.DOTALL), f"{place} shows\n{shown}\nbut this was printed:\n{printed}"


def _python(block: Block, printed: Callable[[], str]) -> None:
    fails = re.match(r"\w+Error: ", block.output or "")
    error = ""
    try:
        block.example.evaluate()
    except Exception as raised:
        if not fails:
            raise
        error = f"{type(raised).__name__}: {raised}"
    if block.output is not None:
        check(block.place, block.output, error if fails else printed())


def _console(block: Block, printed: Callable[[], str]) -> None:
    text = str(block.example.parsed) + (block.output or "")
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        status, output = _call(shlex.split(command, comments=True))
        output += printed()
        assert status == ("yolo-starnet: " in shown), f"{block.place}: '{command}' ended with {status}\n{output}"
        if shown.strip():
            check(block.place, shown, output)


def _call(words: list[str]) -> tuple[int, str]:
    """Run a command; those of this package without a process of their own, which would take seconds to start."""
    if words[0] == "yolo-starnet":
        return cli.main(words[1:]), ""
    assert words[0] == "python", f"the tests cannot run '{' '.join(words)}'; say why by <!-- not run: … -->"
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _yaml(block: Block, _: Callable[[], str]) -> None:
    """Build the rows of a backbone."""
    model = yaml.safe_load(str(block.example.parsed))
    tasks.parse_model({"nc": 80, "depth_multiple": 0.5, "width_multiple": 0.25, "head": [], **model}, 3, verbose=False)


RUNNERS: dict[str, Callable[[Block, Callable[[], str]], None]] = {"python": _python, "console": _console, "yaml": _yaml}
