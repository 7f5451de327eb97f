"""Reading a space from a file, with all the cells that its candidates use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from rnndsl.cell import Cell
from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.formatting.formatter import format_file
from rnndsl.loading import cells_of
from rnndsl.parsing.reading import read_source
from rnndsl.search.errors import NoSpace, NoSuchSpace, SpaceWithoutHoles, UnknownSpace
from rnndsl.search.fitting import check_options
from rnndsl.search.holes import HoleReader
from rnndsl.search.knobs import with_knobs
from rnndsl.search.space import Space
from rnndsl.search.tree import walk
from rnndsl.source import Source
from rnndsl.syntax import CellCall, CellDefinition, File

SPACES = Path(__file__).parent / "spaces"


def list_spaces() -> tuple[str, ...]:
    """The names of the spaces that ship with rnndsl."""
    return tuple(sorted(path.stem for path in SPACES.glob("*.rnn")))


def load_space(place: str | Path, knobs: Mapping[str, str] = MappingProxyType({})) -> Space:
    """The space in a file; ``FILE.rnn:NAME`` names one of several; or one of ``list_spaces()``.

    ``knobs`` are other values for numbers and texts of the space's header.  RnndslError when
    there is no such space or knob, the space makes no sense, or an option of it never fits.
    """
    text = str(place)
    path, colon, name = text.rpartition(":")
    if text in list_spaces():
        return _load(SPACES / f"{text}.rnn", None, knobs)
    if colon and path.endswith(".rnn"):
        return _load(Path(path), name, knobs)
    if not text.endswith(".rnn") and not Path(text).exists():
        close = did_you_mean(text, list_spaces())
        raise RnndslError(NoSuchSpace(None, text, ", ".join(list_spaces()), close))
    return _load(Path(text), None, knobs)


def read_space(text: str, name: str | None = None, file: str = "<text>") -> Space:
    """The space called ``name`` in a text, or its only one; RnndslError as for ``load_space``."""
    source = Source(file, text)
    return _space(_choose(source, None, name))


def candidate_text(space: Space, cell: CellDefinition) -> str:
    """The formatted source of a filled cell, with the cells that it uses above it."""
    known = {other.name: other for other in space.others}
    used: set[str] = set()
    waiting = [cell]
    while waiting:
        calls = (node.cell.name for node in walk(waiting.pop()) if isinstance(node, CellCall))
        found = {name for name in calls if name in known} - used
        used |= found
        waiting += [known[name] for name in found]
    return _file_text((*(other for other in space.others if other.name in used), cell))


def _load(path: Path, name: str | None, knobs: Mapping[str, str]) -> Space:
    cell = _choose(read_source(path), path, name)
    space = _space(replace(cell, definition=with_knobs(cell.definition, knobs)))
    if path.parent != SPACES:  # those were tried when they were written
        check_options(space, cell.source)
    return space


def _choose(source: Source, path: Path | None, name: str | None) -> Cell:
    spaces = [cell for cell in cells_of(source, path).values() if cell.is_space]
    if not spaces:
        raise RnndslError(NoSpace(None, source.name), source)
    found = [cell for cell in spaces if name in (None, cell.name)]
    if len(found) != 1:
        known = ", ".join(f"`{cell.name}`" for cell in spaces)
        example = f"{source.name}:{spaces[0].name}"
        raise RnndslError(UnknownSpace(None, source.name, name or "", known, example), source)
    return found[0]


def _space(cell: Cell) -> Space:
    try:
        reader = HoleReader(cell.definition)
        if not reader.roots:
            raise RnndslError(SpaceWithoutHoles(cell.definition.span, cell.name))
    except RnndslError as error:
        raise RnndslError(error.diagnostics, cell.source) from None
    # A file's only space may stand among cells that it does not use; those are left behind.
    *others, _ = cell.file().cells
    return Space(
        name=cell.name,
        template=reader.template,
        roots=reader.roots,
        table=reader.table,
        others=tuple(others),
        text=_file_text((*others, cell.definition)),
    )


def _file_text(cells: tuple[CellDefinition, ...]) -> str:
    return format_file(File(None, (), cells, span=cells[-1].span))
