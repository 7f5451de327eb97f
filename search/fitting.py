"""Whether every option of a space can be part of a cell that passes the checks."""

from __future__ import annotations

import random
from dataclasses import dataclass

from rnndsl.cell import parse
from rnndsl.checking.check import check_cell
from rnndsl.diagnostics import RnndslError
from rnndsl.errors_check import NoInput
from rnndsl.formatting.formatter import format_file
from rnndsl.search.counting import Counter, Derivation
from rnndsl.search.errors_spaces import OptionNeverFits
from rnndsl.search.fill import fill_derivation
from rnndsl.search.space import Space
from rnndsl.source import Source
from rnndsl.syntax import File

_ATTEMPTS = 6  # an option may fit beside some others only


@dataclass(frozen=True, slots=True)
class Fit:
    """How many of the cells that were drawn pass the checks; what was wrong with others."""

    drawn: int
    passed: int
    reasons: tuple[tuple[str, int], ...]  # the most frequent first


def check_options(space: Space, source: Source) -> None:
    """RnndslError (E0643) for the first option of a written hole that no cell can hold.

    Each option is tried with some choices of the other holes; grown expressions, which are
    well typed whatever is chosen, are passed over.
    """
    generator = random.Random(0)
    counter = Counter(space)
    leads = _leads(space)
    for choice in space.choices:
        if choice.grown:
            continue
        for index, option in enumerate(choice.options):
            reason = ""
            for attempt in range(_ATTEMPTS):
                drawn = counter.draw_by_size(generator) if attempt else {}
                reason = _mistake(space, _with(space, leads, drawn, choice.name, index))
                if not reason:
                    break
            if reason:
                found = OptionNeverFits(None, choice.name, option.label, reason)
                raise RnndslError(found, source)


def fit_of(space: Space, count: int = 200, seed: int = 0) -> Fit:
    """Cells drawn as ``random`` draws them, checked."""
    counter, generator = Counter(space), random.Random(seed)
    reasons: dict[str, int] = {}
    for _ in range(count):
        reason = _mistake(space, counter.draw_by_size(generator), whole=True)
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return Fit(count, count - sum(reasons.values()), tuple(ranked))


def _leads(space: Space) -> dict[str, tuple[str, int]]:
    """For each choice that is not always made, one option that leads to it."""
    found: dict[str, tuple[str, int]] = {}
    for choice in space.choices:
        for index, option in enumerate(choice.options):
            for name in space.nested(option):
                found.setdefault(name, (choice.name, index))
    return found


def _with(
    space: Space, leads: dict[str, tuple[str, int]], drawn: Derivation, name: str, index: int
) -> Derivation:
    """A derivation that makes this choice, otherwise as drawn or by the first options."""
    wanted = {name: index}
    while name in leads:
        name, way = leads[name]
        wanted[name] = way
    made: Derivation = {}

    def visit(names: tuple[str, ...]) -> None:
        for each in names:
            made[each] = wanted.get(each, drawn.get(each, 0))
            visit(space.nested(space.table[each].options[made[each]]))

    visit(space.roots)
    return made


def _mistake(space: Space, derivation: Derivation, whole: bool = False) -> str:
    """What the checks say of a cell, in one line; empty when they pass.

    That a cell reads no input lies in no single option: it counts for the ``whole`` alone.
    """
    cells = (*space.others, fill_derivation(space, derivation))
    try:
        cell = parse(format_file(File(None, (), cells, span=cells[-1].span)))
    except RnndslError as error:
        return error.diagnostics[0].title_text()
    errors = [e for e in check_cell(cell).errors if whole or not isinstance(e, NoInput)]
    if not errors:
        return ""
    label = errors[0].label_text()
    return errors[0].title_text() + (f": {label}" if label else "")
