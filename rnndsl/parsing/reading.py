"""Files of cells from the disk, or a clear refusal."""

from __future__ import annotations

import os
from pathlib import Path

from rnndsl import errors_syntax as errors
from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.source import Source, Span

MAX_BYTES = 250_000  # thousands of equations; the largest cells written so far need ten


def read_source(path: str | os.PathLike[str], name: str | None = None) -> Source:
    """The text of a file, with ``name`` (by default the path) for messages.

    Raises RnndslError when the file is missing, is a folder, may not be read, is larger than
    ``MAX_BYTES`` or is not UTF-8.  A byte order mark at the start is dropped.
    """
    path = Path(path)
    name = name or str(path)
    try:
        if path.exists() and not path.is_file():
            raise _unreadable(name, "it is a folder" if path.is_dir() else "it is not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise _unreadable(name, "there is no such file", _neighbour(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise _unreadable(name, reason.lower()) from None
    if len(data) > MAX_BYTES:
        raise RnndslError(errors.FileTooLarge(None, name, size, "bytes", MAX_BYTES))
    return Source(name, _decode(name, data))


def _unreadable(name: str, reason: str, suggestion: str = "") -> RnndslError:
    return RnndslError(errors.UnreadableFile(None, name, reason, suggestion))


def _neighbour(path: Path) -> str:
    """A file of a similar name in the same folder."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".rnn"]
    except OSError:
        return ""
    close = did_you_mean(path.name, names)
    return str(path.with_name(close)) if close else ""


def _decode(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        offset = error.start + mark
        before = data[mark:offset].decode("utf-8")
        # The lines around the bad byte are shown with a mark in its place.
        shown = Source(name, data[mark:].decode("utf-8", errors="replace"))
        span = Span(name, len(before), len(before) + 1)
        raise RnndslError(errors.NotUtf8(span, data[offset], offset + 1), shown) from None
