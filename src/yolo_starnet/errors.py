"""The errors of this package: each says what was wrong, where, and what to do next."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable


class YOLOStarNetError(Exception):
    """Base class of every error that this package raises on purpose."""


class UnsupportedUltralyticsError(YOLOStarNetError, ImportError):
    """The installed Ultralytics is not laid out as the plugin expects; nothing was patched.

    Attributes:
        replaced_by: The module of someone else that has replaced a function of Ultralytics; '' if none has.
    """

    replaced_by = ""


class BackboneError(YOLOStarNetError, ValueError):
    """A row of a model YAML cannot be turned into layers."""


class LayerError(YOLOStarNetError, ValueError):
    """A row that names a registered layer gives it what it cannot take, or the layer returns what it does not say."""


class ConfigError(YOLOStarNetError, FileNotFoundError):
    """A config name or file does not stand for a model."""


class PluginError(YOLOStarNetError):
    """A package that adds backbones or layers is broken, clashes with another or breaks the plugin rules."""


def brief(error: BaseException) -> str:
    """The type and message of an error of other code, on one line of at most 300 characters."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" …")


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The end of a message that suggests similar names: `"; did you mean 'Conv' or 'ConvBN'?"`.

    Args:
        name: The name that is not known, in any case.
        known: The names to choose from.
        count: The most names to suggest.

    Returns:
        Up to `count` names, the most similar first; the empty string where none is similar.
    """
    by_lower = {k.lower(): k for k in known}
    similar = [f"'{by_lower[key]}'" for key in difflib.get_close_matches(name.lower(), by_lower, n=count)]
    if not similar:
        return ""
    first, last = ", ".join(similar[:-1]), similar[-1]
    return f"; did you mean {f'{first} or {last}' if first else last}?"
