"""A candidate: the text of a cell that was found, and what identifies it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import rnndsl
from rnndsl.compiler.canonical import canonical_hash
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.lower import lower
from rnndsl.diagnostics import RnndslError

if TYPE_CHECKING:
    from rnndsl.cell import Cell
    from rnndsl.compiler.lower import Lowered


@dataclass(frozen=True)
class Candidate:
    """A cell of a space.

    ``text`` is all that is needed to build it again.  ``hash`` is that of its canonical form:
    cells that differ only in the order of a sum, in names or in unused parts have the same.
    """

    text: str
    hash: str
    choices: tuple[tuple[str, str], ...]
    cell: Cell = field(repr=False, compare=False)
    lowered: Lowered = field(repr=False, compare=False)

    @property
    def graph(self) -> Graph:
        return self.lowered.graph


def read_candidate(text: str, choices: tuple[tuple[str, str], ...] = ()) -> Candidate:
    """The candidate that ``text`` describes; RnndslError when it does not pass the checks."""
    cell = rnndsl.parse(text)
    lowered = lower(cell)
    return Candidate(text, canonical_hash(lowered), choices, cell, lowered)


def reason_of(error: RnndslError) -> str:
    """An error in one line, for a trial's record."""
    first = error.diagnostics[0]
    label = first.label_text()
    return f"{first.code}: {first.title_text()}" + (f": {label}" if label else "")
