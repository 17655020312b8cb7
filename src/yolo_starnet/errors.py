"""The errors of this package: each says what was wrong, where, and what to do next."""

from __future__ import annotations

import textwrap


class YOLOStarNetError(Exception):
    """Base class of every error that this package raises on purpose."""


class UnsupportedUltralyticsError(YOLOStarNetError, ImportError):
    """The installed Ultralytics is not laid out as the plugin expects; nothing was patched."""


class BackboneError(YOLOStarNetError, ValueError):
    """A row of a model YAML cannot be turned into layers."""


class ConfigError(YOLOStarNetError, FileNotFoundError):
    """A config name or file does not stand for a model."""


class PluginError(YOLOStarNetError):
    """A package that adds backbones is broken, clashes with another or breaks the plugin rules."""


def brief(error: BaseException) -> str:
    """An error of others in one line of at most some 300 characters."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" …")
