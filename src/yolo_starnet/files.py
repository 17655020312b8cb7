"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
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


def check_new(file: Path) -> None:
    """Find out now whether `write` can make a new file, before a long calculation of its text.

    Raises:
        FileExistsError: The file exists.
        OSError: The folder is not there or cannot be written, or the name is too long.
    """
    with contextlib.suppress(FileNotFoundError):
        file.lstat()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
    Path(_new_file_beside(file)).unlink()


def reason(error: Exception) -> str:
    """Why a file could not be written, without the name of the temporary file."""
    return str(getattr(error, "strerror", None) or error)


def _new_file_beside(file: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=".yolo-starnet-", suffix=".tmp", dir=file.parent)
    os.close(handle)
    return name
