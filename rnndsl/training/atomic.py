"""Writing a file so that a crash at any moment leaves the old one or the new one, whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from rnndsl.training.errors import CannotWrite, training_error


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in its place.

    RnndslError (E0716) when it cannot be written; ``path`` is then as it was.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner reads
        os.replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise training_error(
            CannotWrite(path=str(path), reason=error.strerror or str(error))
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """``write_atomically`` for a text file."""
    write_atomically(path, lambda file: _write_all(file, text.encode("utf-8")))


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where folders can be synchronised at all."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
