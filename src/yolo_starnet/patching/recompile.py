"""The installed `parse_model`, recompiled so that it asks our layers for their output channels. Changes nothing."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection
from types import FunctionType
from typing import Any

import ultralytics
from torch import nn

from ..errors import UnsupportedUltralyticsError

FALLBACK = "c2 = ch[f]"
"""What every release of Ultralytics so far does, in one place, for a class that its parser does not know."""


def ask_for_channels(parse_model: FunctionType, modules: Collection[type[nn.Module]]) -> FunctionType:
    """Recompile the parser with the one expression replaced that guesses the channels of a class it does not know.

    File name, line numbers and globals stay those of the original, so tracebacks point at the installed code.

    Args:
        parse_model: The stock function. It is left as it is.
        modules: The classes to ask, by `out_channels(*args)`; any other is treated as before.

    Raises:
        UnsupportedUltralyticsError: The source cannot be read, or does not guess in exactly one place.
    """

    def out_channels(module: Any, args: list[Any], fallback: int) -> int:
        return module.out_channels(*args) if module in modules else fallback

    try:
        lines, first = inspect.getsourcelines(parse_model)
        function = ast.parse("".join(lines)).body[0]
    except (OSError, SyntaxError) as error:
        raise unsupported(f"the source of parse_model cannot be read ({error})") from error
    guesses = [
        node.orelse[0]
        for node in ast.walk(function)
        if isinstance(node, ast.If) and [ast.unparse(statement) for statement in node.orelse] == [FALLBACK]
    ]
    if len(guesses) != 1 or not isinstance(guesses[0], ast.Assign):
        raise unsupported(f"parse_model has {len(guesses)} branches 'else: {FALLBACK}', expected 1")
    code = parse_model.__code__
    if not {"m", "args"} <= {*code.co_varnames, *code.co_cellvars} or code.co_freevars:
        raise unsupported("parse_model does not hold a row's class in 'm' and its arguments in 'args'")

    ask = ast.parse("_out_channels(m, args, ch[f])", mode="eval").body
    for node in ast.walk(ask):
        ast.copy_location(node, guesses[0].value)
    guesses[0].value = ask
    ast.increment_lineno(function, first - 1)
    # A closure carries our function in, so that nothing is added to the globals of Ultralytics.
    tree = ast.parse(f"def bind(_out_channels):\n    pass\n    return {parse_model.__name__}")
    tree.body[0].body[0] = function  # type: ignore[attr-defined]  # body[0] is the def above
    flags = code.co_flags & annotations.compiler_flag  # the feature itself, imported above
    namespace: dict[str, Any] = {}
    exec(compile(tree, code.co_filename, "exec", flags, dont_inherit=True), parse_model.__globals__, namespace)
    return namespace["bind"](out_channels)


def unsupported(found: str) -> UnsupportedUltralyticsError:
    """The error that says what was found where the installed Ultralytics is not as expected."""
    return UnsupportedUltralyticsError(
        f"yolo-starnet cannot extend Ultralytics {ultralytics.__version__} ({ultralytics.__file__}): {found}. "
        "Install another release of either (pip install -U yolo-starnet ultralytics)."
    )
