"""Recompiles the installed `parse_model` so that it asks registered classes for their output channels."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import ultralytics
from torch import nn

from ..errors import UnsupportedUltralyticsError

FALLBACK = "c2 = ch[f]"
"""The one branch of the parser, in every release so far, for a class that it does not know."""
QUESTION = "ch[f] if (c2 := _out_channels(m, args, f, n, ch)) is None else c2"
"""What takes the place of its value. The lookup stays in the parser, so a wrong `from` fails there as ever."""

ADVICE = "Install another release of either (pip install -U yolo-starnet ultralytics)."

Answer = Callable[[type[nn.Module], list[Any], Any, int, list[int]], int | None]
"""From a row's class, arguments, `from`, repeats and the channels of all rows before it to its output channels."""


def ask_for_channels(parse_model: FunctionType, answer: Answer) -> FunctionType:
    """Recompile the parser with its fallback replaced by a question.

    File name, line numbers and globals stay those of the original, so tracebacks point at the installed code.

    Args:
        parse_model: The stock function. It is left as it is.
        answer: Called for each row whose class the parser does not know. It may change the arguments in place before
            the class is built. For a class that it returns None for, the fallback stays.

    Raises:
        UnsupportedUltralyticsError: The source cannot be read, or has not exactly one fallback.
    """
    function, first_line = _syntax_tree(parse_model)
    fallback = _fallback(function)
    names = {*parse_model.__code__.co_varnames, *parse_model.__code__.co_cellvars}
    if not {"i", "f", "n", "m", "args", "ch"} <= names or parse_model.__code__.co_freevars:
        raise unsupported(
            "parse_model does not hold a row in 'f', 'n', 'm' and 'args', its index in 'i', the channels in 'ch'"
        )
    question = ast.parse(QUESTION, mode="eval").body
    for node in ast.walk(question):
        ast.copy_location(node, fallback.value)
    fallback.value = question
    ast.increment_lineno(function, first_line - 1)
    return _bind(function, parse_model, answer)


def _syntax_tree(function: FunctionType) -> tuple[ast.stmt, int]:
    """The syntax tree of a function, and the line of its file that it starts at."""
    try:
        lines, first_line = inspect.getsourcelines(function)
        return ast.parse("".join(lines)).body[0], first_line
    except (OSError, SyntaxError) as error:
        raise unsupported(f"the source of {function.__name__} cannot be read ({error})") from error


def _fallback(function: ast.stmt) -> ast.Assign:
    """The one statement `FALLBACK` that is a whole `else:` branch of the parser."""
    branches = [
        node.orelse[0]
        for node in ast.walk(function)
        if isinstance(node, ast.If) and [ast.unparse(statement) for statement in node.orelse] == [FALLBACK]
    ]
    if len(branches) != 1 or not isinstance(branches[0], ast.Assign):
        raise unsupported(f"parse_model has {len(branches)} branches 'else: {FALLBACK}', expected 1")
    return branches[0]


def _bind(function: ast.stmt, original: FunctionType, out_channels: Callable[..., int | None]) -> FunctionType:
    """Compile a changed function. A closure holds `out_channels`, so Ultralytics' globals stay as they are."""
    tree = ast.parse(f"def bind(_out_channels):\n    pass\n    return {original.__name__}")
    tree.body[0].body[0] = function  # type: ignore[attr-defined]  # body[0] is the def above
    code = original.__code__
    flags = code.co_flags & annotations.compiler_flag  # of `from __future__ import annotations`, imported above
    namespace: dict[str, Any] = {}
    exec(compile(tree, code.co_filename, "exec", flags, dont_inherit=True), original.__globals__, namespace)
    return namespace["bind"](out_channels)


def unsupported(found: str, advice: str = ADVICE) -> UnsupportedUltralyticsError:
    """The error for an Ultralytics that is not laid out as expected; `found` says what it has instead."""
    return UnsupportedUltralyticsError(
        f"yolo-starnet cannot extend Ultralytics {ultralytics.__version__} ({ultralytics.__file__}): {found}. {advice}"
    )
