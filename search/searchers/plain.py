"""Plain cells as the start of a search, and spaces that have grown."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import rnndsl
from rnndsl.cell import Cell
from rnndsl.diagnostics import RnndslError
from rnndsl.parsing.parser import parse_file
from rnndsl.search.counting import Counter
from rnndsl.search.errors import NoSpace, NoSuchSpace
from rnndsl.search.fill import fill_derivation
from rnndsl.search.reading import candidate_text, load_space, read_space
from rnndsl.search.searchers.derivations import label_choices, read_choices
from rnndsl.search.space import Space
from rnndsl.source import Source
from rnndsl.syntax import CellDefinition

_DRAWS = 30


def load_start(place: str | Path, knobs: Mapping[str, str] = MappingProxyType({})) -> Space:
    """What a search starts from: a space as :func:`load_space` finds it, or a plain cell.

    A cell of the library or of a file becomes a space without holes, of that one cell; a
    searcher that edits cells goes on from it.  RnndslError when there is neither.
    """
    try:
        return load_space(place, knobs)
    except RnndslError as error:
        if not isinstance(error.diagnostics[0], (NoSpace, NoSuchSpace)):
            raise
        known = str(place).lower() in rnndsl.list_cells() or str(place).endswith(".rnn")
        if knobs or not known:
            raise
    return space_of_cell(rnndsl.load(place))


def space_of_cell(cell: Cell) -> Space:
    """The space that holds nothing but this cell."""
    *others, definition = cell.file().cells
    space = Space(cell.name, definition, (), {}, tuple(others))
    return Space(cell.name, definition, (), {}, tuple(others), candidate_text(space, definition))


def cell_of_text(text: str) -> CellDefinition:
    """The last cell of a text; RnndslError when it cannot be read."""
    return parse_file(Source("<text>", text)).cells[-1]


def grows(old_text: str, new_text: str) -> bool:
    """Whether every cell of the old space is one of the new, by the same choices.

    It is so when options were added, or an expression has become the first option of a hole.
    What the choices lead to is compared on random cells.
    """
    try:
        old, new = read_space(old_text), read_space(new_text)
    except RnndslError:
        return False  # one of them is a plain cell, or not of this version's language
    counter, generator = Counter(old), random.Random(0)
    for _ in range(_DRAWS):
        derivation = counter.draw(generator)
        again = read_choices(new, label_choices(old, derivation))
        if again is None:
            return False
        texts = [
            candidate_text(space, fill_derivation(space, made))
            for space, made in ((old, derivation), (new, again))
        ]
        if texts[0] != texts[1]:
            return False
    return True
