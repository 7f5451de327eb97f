"""Writing a file so that a crash at any moment leaves the old one or the new one, whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from errno import EISDIR
from pathlib import Path
from typing import BinaryIO

from rnndsl.diagnostics import RnndslError
from rnndsl.errors_syntax import UnwritableFile


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in its place.

    Permissions are kept, and a link stays a link.  RnndslError (E0123) when it cannot be
    written; ``path`` is then as it was.
    """
    target = path.resolve()
    temporary = ""
    try:
        handle, temporary = _file_beside(target)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        else:
            os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner reads
        os.replace(temporary, target)
        temporary = ""
        _sync_folder(target.parent)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """RnndslError (E0123) if no file can be put there, before there is anything to write."""
    target = path.resolve()
    try:
        handle, temporary = _file_beside(target)
        os.close(handle)
        os.unlink(temporary)
        if target.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    except OSError as error:
        raise unwritable(path, error) from None


def _file_beside(target: Path) -> tuple[int, str]:
    """A new file, open and empty, that may take the place of another one."""
    return tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")


def write_text_atomically(path: Path, text: str) -> None:
    """As :func:`write_atomically`, for text; line ends are written as they are."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def unwritable(path: Path, error: OSError) -> RnndslError:
    """The error of a file or folder that cannot be written."""
    return RnndslError(UnwritableFile(None, str(path), (error.strerror or str(error)).lower()))


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where folders can be synchronised at all."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
