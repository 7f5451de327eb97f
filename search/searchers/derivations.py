"""Derivations as searchers handle them: read from records, repaired, turned into proposals."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from rnndsl.search.counting import Derivation
from rnndsl.search.fill import fill
from rnndsl.search.searchers.protocol import Choices, Origin, Proposal
from rnndsl.search.space import Space


def read_choices(space: Space, choices: Iterable[tuple[str, str]]) -> Derivation | None:
    """The derivation that recorded choices make in ``space``; None if it has no such cell.

    The space may have grown since: options are found by their labels, and a hole that the
    record does not know takes its first option, so what stood there before belongs first.
    """
    labels = dict(choices)
    derivation: Derivation = {}

    def visit(names: Sequence[str]) -> bool:
        for name in names:
            known = space.table[name].labels
            index = _find_label(labels.get(name, known[0]), known)
            if index is None:
                return False
            derivation[name] = index
            if not visit(space.nested(space.table[name].options[index])):
                return False
        return True

    return derivation if visit(space.roots) else None


def _find_label(label: str, known: Sequence[str]) -> int | None:
    if label in known:
        return known.index(label)
    # A label shows the holes inside its option, which may have grown: compare what is outside.
    outside = _outside(label)
    alike = [k for k, other in enumerate(known) if _outside(other) == outside]
    return alike[0] if len(alike) == 1 and "?" in outside else None


def _outside(label: str) -> str:
    """A label in which every hole is a mere `?`."""
    kept: list[str] = []
    depth = 0  # of brackets inside a hole
    entering = False
    for character in label:
        if depth:
            depth += {"(": 1, ")": -1}.get(character, 0)
        elif character == "?":
            kept.append("?")
            entering = True
        elif entering:  # the name of the hole
            if character == "(":
                depth, entering = 1, False
        else:
            kept.append(character)
    return "".join(kept)


def label_choices(space: Space, derivation: Mapping[str, int]) -> Choices:
    """A derivation with the labels of its options, in its own order."""
    return tuple((name, space.table[name].labels[index]) for name, index in derivation.items())


def propose(space: Space, derivation: Mapping[str, int], origin: Origin) -> Proposal:
    """The proposal of the cell of a derivation, which may hold choices that are not made."""
    made: list[tuple[str, str]] = []

    def decide(name: str, labels: tuple[str, ...]) -> int:
        made.append((name, labels[derivation[name]]))
        return derivation[name]

    cell = fill(space, decide)
    return Proposal(cell, tuple(made), origin)


def complete(space: Space, wanted: Mapping[str, int], draw: random.Random) -> Derivation:
    """A derivation with as many of the ``wanted`` options as it can make, the rest drawn."""
    derivation: Derivation = {}

    def visit(names: Sequence[str]) -> None:
        for name in names:
            options = space.table[name].options
            index = wanted.get(name, -1)
            if not 0 <= index < len(options):
                index = draw.randrange(len(options))
            derivation[name] = index
            visit(space.nested(options[index]))

    visit(space.roots)
    return derivation
