"""Reading a text file: UTF-8 checked, with an error that says where it is not."""

from __future__ import annotations

from pathlib import Path

from rnndsl.training.errors import (
    DataEmpty,
    DataNotFound,
    DataNotText,
    DataNotUtf8,
    DataUnreadable,
    training_error,
)

# Bytes that no text holds; tab, line feed, form feed and carriage return are text.
_BINARY = bytes(set(range(32)) - {9, 10, 11, 12, 13, 27})


def read_text(path: Path) -> str:
    """The text of ``path``, with line breaks as ``\\n`` and without a byte order mark.

    RnndslError (E0701 to E0704, E0717) when it is missing, empty, binary or not UTF-8.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise training_error(DataNotFound(path=str(path))) from None
    except OSError as error:
        raise training_error(
            DataUnreadable(path=str(path), reason=error.strerror or str(error))
        ) from None
    if not data.strip():
        raise training_error(DataEmpty(path=str(path)))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if _is_binary(data):
            raise training_error(DataNotText(path=str(path))) from None
        # With a byte order mark, positions are counted after it.
        offset = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, offset) + 1
        column = offset - (data.rfind(b"\n", 0, offset) + 1) + 1
        raise training_error(
            DataNotUtf8(
                path=str(path),
                byte=f"0x{data[offset]:02x}",
                offset=offset,
                line=line,
                column=column,
            )
        ) from None
    if "\0" in text:
        raise training_error(DataNotText(path=str(path)))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_binary(data: bytes) -> bool:
    """Whether the start of ``data`` looks like no encoding of text at all."""
    head = data[:4096]
    return b"\0" in head or len(head) - len(head.translate(None, _BINARY)) > len(head) // 100
