"""Run a cell file as a user would and give the text of its mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rnndsl.diagnostics import Diagnostic, RnndslError
from rnndsl.parsing.parser import parse_file
from rnndsl.parsing.reading import read_source
from rnndsl.render import render_all
from rnndsl.source import Source

FILE = "$FILE"  # stands for the path, so that golden text is the same everywhere


def mistakes_of(path: Path) -> tuple[Sequence[Diagnostic], Sequence[Source]]:
    """What reading and then checking a file reports."""
    try:
        parse_file(read_source(path))
    except RnndslError as error:
        return error.diagnostics, error.sources
    if find_spec("rnndsl.commands.check") is None:
        return (), ()
    from rnndsl.commands.check import check_file

    return check_file(path)


def message_of(path: Path) -> str:
    """The rendered mistakes, with the path replaced, ending in a line break."""
    found, sources = mistakes_of(path)
    text = render_all(found, sources)
    return text.replace(str(path), FILE).replace(str(path.parent) + "/", "") + "\n"


def codes_of(path: Path) -> set[str]:
    """The codes of the mistakes of a file."""
    return {diagnostic.code for diagnostic in mistakes_of(path)[0]}
