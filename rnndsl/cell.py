"""Cells as users hold them: parse text, load files and the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rnndsl.diagnostics import Diagnostic, RnndslError
from rnndsl.errors_check import UnknownCell
from rnndsl.source import Source
from rnndsl.syntax import CellDefinition, File


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A cell or space with the cells that it uses; printable, comparable by its meaning's text.

    ``str(cell)`` is its canonical text: it parses back to an equal cell.
    """

    name: str
    definition: CellDefinition
    source: Source
    subcells: tuple[tuple[str, Cell], ...] = ()

    @property
    def is_space(self) -> bool:
        """Whether it has holes that a search fills in."""
        return self.definition.is_space

    def subcell(self, name: str) -> Cell | None:
        """The cell that ``name`` means inside this one."""
        return dict(self.subcells).get(name)

    def subcell_names(self) -> tuple[str, ...]:
        """Names that could stand for a sub-cell, for suggestions."""
        return (*(name for name, _ in self.subcells), *list_cells())

    def sources(self) -> tuple[Source, ...]:
        """The texts that this cell and its sub-cells were read from."""
        found: dict[str, Source] = {}
        waiting, seen = [self], {id(self)}
        while waiting:
            cell = waiting.pop()
            found[cell.source.name] = cell.source
            inner = [c for _, c in cell.subcells if id(c) not in seen]
            seen.update(map(id, inner))
            waiting += inner
        return tuple(found.values())

    def file(self) -> File:
        """One file that holds this cell after all the cells that it uses."""
        cells: dict[str, CellDefinition] = {}
        _collect(self, cells)
        return File(None, (), tuple(cells.values()), span=self.definition.span)

    def __str__(self) -> str:
        from rnndsl.formatting.formatter import format_file

        return format_file(self.file())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cell):
            return NotImplemented
        return self.file() == other.file()

    def __hash__(self) -> int:
        return hash(self.definition)


def _collect(cell: Cell, cells: dict[str, CellDefinition]) -> None:
    for name, inner in cell.subcells:
        if name not in cells:
            _collect(inner, cells)
    cells[cell.name] = cell.definition


def parse(text: str, name: str | None = None, file: str = "<text>") -> Cell:
    """The last cell of a text, or the one called ``name``.

    Reads no file but the standard library.  RnndslError with all mistakes in the text.
    """
    from rnndsl.loading import cells_of

    return _choose(cells_of(Source(file, text), None), name, Source(file, text))


def load(path_or_name: str | Path, name: str | None = None) -> Cell:
    """A cell of a ``.rnn`` file (its last, or the one called ``name``), or of the standard
    library by its name (``"lstm"``), upper or lower case.  ``"gates.rnn:Slow"`` is the cell
    `Slow` of the file `gates.rnn`.

    RnndslError when there is no such cell or file, and for all mistakes in the file.
    """
    from rnndsl.loading import cells_of, stdlib_cell
    from rnndsl.parsing.reading import read_source

    text = str(path_or_name)
    file, colon, inside = text.rpartition(":")
    if name is None and colon and file.endswith(".rnn") and inside.isidentifier():
        path_or_name, name, text = Path(file), inside, file
    if isinstance(path_or_name, Path) or text.endswith(".rnn") or "/" in text or "\\" in text:
        path = Path(path_or_name)
        source = read_source(path)
        return _choose(cells_of(source, path), name, source)
    cell = stdlib_cell(text)
    return cell if name is None else _choose({cell.name: cell}, name, cell.source)


def _choose(cells: Mapping[str, Cell], name: str | None, source: Source) -> Cell:
    from rnndsl.diagnostics import did_you_mean

    if name is None:
        return list(cells.values())[-1]
    for key, cell in cells.items():
        if key.lower() == name.lower():
            return cell
    close = did_you_mean(name, cells)
    raise RnndslError(UnknownCell(None, name, f" in {source.name}", close), source)


def list_cells() -> tuple[str, ...]:
    """The names of the standard library, sorted."""
    from rnndsl.loading import STDLIB

    return tuple(sorted(path.stem for path in STDLIB.glob("*.rnn")))


def check(
    cell: Cell | str | Source, numbers: Mapping[str, int | float] | None = None
) -> tuple[Diagnostic, ...]:
    """All mistakes and warnings of a cell, or of every cell of a text; empty when there are none.

    ``numbers`` replace defaults of the cell's numbers (of a text's cells that have them).
    """
    from rnndsl.checking.check import check_cell, merge
    from rnndsl.loading import cells_of

    if isinstance(cell, Cell):
        return check_cell(cell, numbers).diagnostics
    source = Source("<text>", cell) if isinstance(cell, str) else cell
    try:
        cells = cells_of(source, None)
    except RnndslError as error:
        return error.diagnostics
    found: list[Diagnostic] = []
    for each in cells.values():
        known = {p.name for p in each.definition.parameters}
        mine = {k: v for k, v in (numbers or {}).items() if k in known}
        found += check_cell(each, mine).diagnostics
    return merge(found)
