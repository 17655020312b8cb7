"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ConfigError


def write(file: Path, content: str | bytes) -> None:
    """Write a file at once: no other process reads half of it, and a failure leaves everything as it was.

    Args:
        file: The file. One that exists is replaced.
        content: Its text or bytes.

    Raises:
        OSError: The folder is not there or cannot be written, or the disk is full.
    """
    part = Path(_new_file_beside(file))
    try:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
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


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Say what to do where a file that the user named with `out=` exists or cannot be written.

    Raises:
        ConfigError: In place of any error of `write` and `check_new`.
    """
    try:
        yield
    except FileExistsError:
        raise ConfigError(f"{file} exists and is not overwritten; give another file name with out=") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be written ({reason(error)}); give another file name with out=") from error


def reason(error: Exception) -> str:
    """Why a file could not be written, without the name of the temporary file."""
    return str(getattr(error, "strerror", None) or error)


def _new_file_beside(file: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=".yolo-starnet-", suffix=".tmp", dir=file.parent)
    os.close(handle)
    return name
