"""Grafts that are kept for later runs, each with a checksum: one that is damaged is made anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .. import files
from ..errors import ConfigError


def keep(file: Path, text: str) -> None:
    """Write a YAML for later runs.

    Raises:
        ConfigError: It cannot be written. Nothing is left behind.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, _sealed(text))
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written ({files.reason(error)}); free that place, or set YOLO_CONFIG_DIR to another "
            "folder"
        ) from error


def is_whole(file: Path) -> bool:
    """Whether a YAML was kept there, and is as it was written."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return text == _sealed(text.partition("\n")[2])


def _sealed(text: str) -> str:
    """The text under a line with its checksum, which is a comment in a YAML."""
    return f"# SHA-256 of the lines below: {hashlib.sha256(text.encode()).hexdigest()}\n{text}"
