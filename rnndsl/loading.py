"""Finding the cells that a file means: its own, imported ones, and the standard library's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path

from rnndsl import syntax
from rnndsl.cell import Cell, list_cells
from rnndsl.diagnostics import Diagnostic, Related, RnndslError, did_you_mean
from rnndsl.errors_check import (
    CellRecursion,
    DefinedTwice,
    ImportProblem,
    NoCell,
    UnknownCell,
)
from rnndsl.kept import kept
from rnndsl.parsing.parser import parse_file
from rnndsl.parsing.reading import read_source
from rnndsl.source import Source, Span

STDLIB = Path(__file__).with_name("stdlib")
MOST_FILES = 100


@dataclass(slots=True)
class _Reading:
    """One call of :func:`cells_of`: files read so far, so that each is read once."""

    files: dict[Path, Mapping[str, Cell]] = field(default_factory=dict)
    open: list[Path] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)


def cells_of(source: Source, path: Path | None) -> Mapping[str, Cell]:
    """The cells that a text defines, in order, by name.

    ``path`` is where the text stands: imports are looked up beside it; without one there can
    be none.  RnndslError with all mistakes of syntax, imports and cell names.
    """
    return _cells_of(source, path, _Reading())


def _cells_of(source: Source, path: Path | None, reading: _Reading) -> Mapping[str, Cell]:
    reading.sources.append(source)
    file = parse_file(source)
    found: list[Diagnostic] = []
    known: dict[str, Cell] = {}
    imported: dict[str, Span] = {}
    if path is not None:
        reading.open.append(path.resolve())
    for statement in file.imports:
        cells = _import(statement, path, reading, found)
        for name in statement.names:
            imported.setdefault(name, statement.span)
            if name in cells:
                known[name] = cells[name]
            elif cells:
                close = did_you_mean(name, cells)
                where = f' in "{statement.path}"'
                found.append(UnknownCell(statement.span, name, where, close))
    if path is not None:
        reading.open.pop()
    definitions: dict[str, syntax.CellDefinition] = {}
    for definition in file.cells:
        other = definitions.get(definition.name)
        span = other.span if other else imported.get(definition.name)
        if span is not None:
            related = (Related(_head(span, source), "defined here"),)
            found.append(
                DefinedTwice(_head(definition.span, source), definition.name, related=related)
            )
        definitions.setdefault(definition.name, definition)
    if not definitions and not found:
        found.append(NoCell(None, source.name))
    made = _build(source, definitions, known, imported, found)
    if found:
        raise RnndslError(found, reading.sources)
    return made


def _head(span: Span, source: Source) -> Span:
    """The first line of a definition."""
    line_end = source.text.find("\n", span.start, span.end)
    return Span(span.file, span.start, span.end if line_end < 0 else line_end)


def _import(
    statement: syntax.Import, path: Path | None, reading: _Reading, found: list[Diagnostic]
) -> Mapping[str, Cell]:
    """The cells of an imported file; empty after a noted mistake."""

    def problem(message: str, suggestion: str = "") -> Mapping[str, Cell]:
        found.append(ImportProblem(statement.span, message, suggestion))
        return {}

    if path is None:
        return problem("a text that is not a file cannot import", "save it as a file first")
    wanted = statement.path
    parts = wanted.split("/")
    if "\\" in wanted or ":" in wanted or any(part in ("", ".", "..") for part in parts):
        return problem("an import names a file in this file's folder or below it, with `/`")
    if not wanted.endswith(".rnn"):
        return problem("only `.rnn` files can be imported")
    folder = path.resolve().parent
    target = (path.parent / wanted).resolve()
    if not target.is_relative_to(folder):
        return problem("the file is a link that leads out of this file's folder")
    if target in reading.open:
        return problem(f"the files import each other: {target.name} is being read")
    if target in reading.files:
        return reading.files[target]
    if len(reading.files) >= MOST_FILES or len(reading.open) >= MOST_FILES:
        return problem(f"over {MOST_FILES} files are imported")
    if not target.is_file():
        names = [p.name for p in sorted(target.parent.glob("*.rnn"))[:1000]]
        close = did_you_mean(target.name, names)
        return problem(
            f'there is no file "{wanted}" beside this one',
            f"did you mean `{close}`?" if close else "",
        )
    try:
        cells = _cells_of(read_source(path.parent / wanted), path.parent / wanted, reading)
    except RnndslError as error:
        if len(error.sources) and any(d.span for d in error.diagnostics):
            found.extend(error.diagnostics)
            return {}
        return problem(error.diagnostics[0].label_text())
    reading.files[target] = cells
    return cells


def _build(
    source: Source,
    definitions: Mapping[str, syntax.CellDefinition],
    known: Mapping[str, Cell],
    imported: Mapping[str, Span],
    found: list[Diagnostic],
) -> dict[str, Cell]:
    """Cells with their sub-cells, innermost first; notes unknown cells and recursion."""
    made: dict[str, Cell] = {}
    failed: set[str] = set()

    def build(name: str, path: tuple[str, ...], span: Span) -> Cell | None:
        if name in made or name in failed:
            return made.get(name)
        if name in path:
            steps = " -> ".join((*path[path.index(name) :], name))
            found.append(CellRecursion(span, name, steps))
            failed.add(name)
            return None
        if len(path) > MOST_FILES:
            found.append(CellRecursion(span, name, f"over {MOST_FILES} cells deep"))
            return None
        definition = definitions[name]
        inner: dict[str, Cell] = {}
        for use in _cell_calls(definition):
            wanted = use.cell.name
            if wanted in inner:
                continue
            cell: Cell | None
            if wanted in definitions:
                cell = build(wanted, (*path, name), use.cell.span)
            elif wanted in known:
                cell = known[wanted]
            elif wanted in imported:
                cell = None  # its import failed, and that was said
            else:
                cell = _standard(wanted)
                if cell is None:
                    close = did_you_mean(wanted, [*definitions, *known, *stdlib_names()])
                    found.append(UnknownCell(use.cell.span, wanted, "", close))
            if cell is not None:
                inner[wanted] = cell
        if name not in failed:
            made[name] = Cell(name, definition, source, tuple(inner.items()))
        return made.get(name)

    for name, definition in definitions.items():
        build(name, (), _head(definition.span, source))
    return {name: made[name] for name in definitions if name in made}


def _cell_calls(definition: syntax.CellDefinition) -> Iterator[syntax.CellCall]:
    """Every use of a sub-cell in a cell, in order."""
    waiting: list[object] = [definition.body]
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            waiting.extend(reversed(item))
        elif is_dataclass(item) and not isinstance(item, Span):
            if isinstance(item, syntax.CellCall):
                yield item
            waiting.extend(
                getattr(item, f.name) for f in reversed(fields(item)) if f.name != "span"
            )


# --------------------------------------------------------------------------- standard library


def _key(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _standard(name: str) -> Cell | None:
    """A standard cell by its file's name or its own; None when there is none."""
    stems = {_key(stem): stem for stem in list_cells()}
    return _stdlib(stems[_key(name)]) if _key(name) in stems else None


@cache
def stdlib_names() -> tuple[str, ...]:
    """The names of the standard cells as they are written in files: ``LSTM``."""
    return tuple(_stdlib(name).name for name in list_cells())


@cache
def _stdlib(stem: str) -> Cell:
    def read() -> Cell:
        path = STDLIB / f"{stem}.rnn"
        source = Source(f"stdlib/{stem}.rnn", path.read_text(encoding="utf-8"))
        return list(cells_of(source, path).values())[-1]

    return kept("cell", stem, read)


def standard_name(cell: Cell) -> str | None:
    """The name of this very object in the standard library; None if it is not from there."""
    stem = Path(cell.source.name).stem
    if cell.source.name != f"stdlib/{stem}.rnn" or stem not in list_cells():
        return None
    return stem if _stdlib(stem) is cell else None


def stdlib_cell(name: str) -> Cell:
    """A standard cell by name; RnndslError with a suggestion for an unknown one."""
    cell = _standard(name)
    if cell is not None:
        return cell
    close = did_you_mean(name, list_cells())
    raise RnndslError(UnknownCell(None, name, " in the standard library", close))
