"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write(file: Path, text: str) -> None:
    """Write a text file at once: no other process reads half of it, and a failure leaves everything as it was.

    Args:
        file: The file. One that exists is replaced.
        text: Its text.

    Raises:
        OSError: The folder is not there or cannot be written, or the disk is full.
    """
    part = Path(_new_file_beside(file))
    try:
        part.write_text(text, encoding="utf-8")
        part.chmod(0o644)  # the files of mkstemp are private
        os.replace(part, file)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _new_file_beside(file: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=".yolo-starnet-", suffix=".tmp", dir=file.parent)
    os.close(handle)
    return name
