"""Format files in place: all or nothing for each file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rnndsl.atomic import write_text_atomically
from rnndsl.diagnostics import RnndslError
from rnndsl.formatting.formatter import format_file
from rnndsl.parsing.parser import parse_file
from rnndsl.parsing.reading import read_source


@dataclass(frozen=True, slots=True)
class Formatted:
    """What became of one file: ``error`` when it could not be read, then it is untouched."""

    path: Path
    changed: bool
    error: RnndslError | None = None


def format_paths(paths: Iterable[str | os.PathLike[str]], check: bool = False) -> list[Formatted]:
    """Format each file, and each ``.rnn`` file below each folder, in canonical form.

    With ``check`` nothing is written; ``changed`` says what would be.  A file with a mistake is
    left as it is and does not keep the others from being formatted.
    """
    return [_format_path(path, check) for path in _files(paths)]


def format_text(text: str, name: str = "<text>") -> str:
    """The canonical form of a file's text; RnndslError when it cannot be read."""
    from rnndsl.source import Source

    source = Source(name, text)
    formatted = format_file(parse_file(source))
    # Line ends of the file are kept, as an editor would.
    return formatted.replace("\n", "\r\n") if _ends_crlf(text) else formatted


def _ends_crlf(text: str) -> bool:
    return text.find("\r\n") == text.find("\n") - 1 and "\n" in text


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in map(Path, paths):
        found = sorted(path.rglob("*.rnn")) if path.is_dir() else [path]
        for file in found:
            if file not in seen:
                seen.add(file)
                yield file


def _format_path(path: Path, check: bool) -> Formatted:
    try:
        source = read_source(path)
        text = format_text(source.text, source.name)
        changed = text != source.text
        if changed and not check:
            write_text_atomically(path, text)
    except RnndslError as error:
        return Formatted(path, False, error)
    return Formatted(path, changed)
