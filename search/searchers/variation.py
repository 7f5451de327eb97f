"""Typed mutation and crossover of a space's cells, on their trees of choices.

A choice is a place in the tree; what is below it is made by the choices that its option needs.
Two places are of one sort when they have the same options that end a branch: the same hole, or
two places of one grown expression.  Only subtrees of one sort change places, and what does not
fit at its new place (too deep, another list of options) is drawn anew, so that every product is
a cell of the space.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from rnndsl.search.counting import Derivation
from rnndsl.search.searchers.derivations import complete
from rnndsl.search.space import Option, Space

_EDITS, _SINGLE = 60, 20  # tries to find something new; so many of them with single edits

Edit = Callable[["Variation", Derivation, random.Random], tuple[Derivation, str] | None]


class Variation:
    """Mutation and crossover of the derivations of one space."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._sorts: dict[str, tuple[str, ...]] = {}

    def mutate(self, parent: Derivation, draw: random.Random) -> tuple[Derivation, str]:
        """Another derivation, one edit away, and what was done; the same if none applies."""
        for _ in range(20):
            made = draw.choice(EDITS)(self, parent, draw)
            if made is not None and made[0] != parent:
                return made
        return parent, "copy"

    def cross(
        self, left: Derivation, right: Derivation, draw: random.Random
    ) -> tuple[Derivation, str]:
        """``left`` with parts of ``right``: one subtree, or about half of all choices."""
        if draw.random() < 0.5:
            either = {
                name: draw.choice((left, right)).get(name, left.get(name, right.get(name, 0)))
                for name in sorted({*left, *right})
            }
            return complete(self.space, either, draw), "crossover"
        places = self.places(left)
        if not places:
            return left, "copy"
        place = draw.choice(places)
        donors = [name for name in right if self.sort(name) == self.sort(place)]
        if not donors:
            return left, "copy"
        donor = place if place in donors and draw.random() < 0.5 else draw.choice(donors)
        wanted = self.without(left, place)
        self.graft(right, donor, place, wanted)
        return complete(self.space, wanted, draw), f"crossover at {place}"

    # -------------------------------------------------------------------------- the tree

    def places(self, derivation: Derivation) -> list[str]:
        """The choices that are made and could be made otherwise."""
        return [name for name in derivation if len(self.space.table[name].options) > 1]

    def option(self, derivation: Mapping[str, int], name: str) -> Option:
        return self.space.table[name].options[derivation[name]]

    def sort(self, name: str) -> tuple[str, ...]:
        """The options of a choice that end a branch; all its options if none does."""
        if name not in self._sorts:
            options = self.space.table[name].options
            ends = tuple(o.label for o in options if not self.space.nested(o))
            self._sorts[name] = ends or tuple(o.label for o in options)
        return self._sorts[name]

    def below(self, derivation: Derivation, name: str) -> list[str]:
        """The choices that ``name`` leads to, parents first."""
        found: list[str] = []
        pending = list(self.space.nested(self.option(derivation, name)))
        while pending:
            inner = pending.pop(0)
            if inner in derivation and inner not in found:
                found.append(inner)
                pending += self.space.nested(self.option(derivation, inner))
        return found

    def without(self, derivation: Derivation, name: str) -> Derivation:
        """A copy that lacks a choice and all that it leads to."""
        gone = {name, *self.below(derivation, name)}
        return {k: v for k, v in derivation.items() if k not in gone}

    def graft(self, source: Derivation, origin: str, target: str, into: Derivation) -> None:
        """Let ``target`` in ``into`` be made as ``origin`` is in ``source``, where it can be."""
        label = self.option(source, origin).label
        labels = self.space.table[target].labels
        if label not in labels:
            return  # drawn anew by whoever completes it
        into[target] = labels.index(label)
        inner = self.space.nested(self.option(source, origin))
        places = self.space.nested(self.option(into, target))
        for old, new in zip(inner, places, strict=False):
            self.graft(source, old, new, into)

    def inner(self, name: str, option: Option) -> list[str]:
        """The places that an option of ``name`` opens for values of the same sort."""
        return [n for n in self.space.nested(option) if self.sort(n) == self.sort(name)]


def find_near(
    variation: Variation,
    favourite: Derivation,
    is_new: Callable[[Derivation], bool],
    draw: random.Random,
) -> tuple[Derivation, str] | None:
    """A new derivation near one that is known: one edit away, then more; None in vain.

    For searchers that learn, which end in proposing their favourite again and again.
    """
    near = favourite
    for edit in range(_EDITS):
        start = near if edit > _SINGLE and edit % 5 else favourite
        near, how = variation.mutate(start, draw)
        if is_new(near):
            return near, how
    return None


# ----------------------------------------------------------------------------- the mutations


def swap(
    variation: Variation, parent: Derivation, draw: random.Random
) -> tuple[Derivation, str] | None:
    """Another option for one choice; what is below stays where the new option has a place."""
    places = variation.places(parent)
    if not places:
        return None
    place = draw.choice(places)
    others = [k for k in range(len(variation.space.table[place].options)) if k != parent[place]]
    wanted = {**parent, place: draw.choice(others)}
    return complete(variation.space, wanted, draw), f"swap {place}"


def regrow(
    variation: Variation, parent: Derivation, draw: random.Random
) -> tuple[Derivation, str] | None:
    """A subtree drawn anew."""
    places = [p for p in variation.places(parent) if variation.below(parent, p)]
    if not places:
        return None
    place = draw.choice(places)
    return complete(variation.space, variation.without(parent, place), draw), f"regrow {place}"


def hoist(
    variation: Variation, parent: Derivation, draw: random.Random
) -> tuple[Derivation, str] | None:
    """One of a subtree's own parts in its place."""
    pairs = [
        (place, inner)
        for place in variation.places(parent)
        for inner in variation.below(parent, place)
        if variation.sort(inner) == variation.sort(place)
    ]
    if not pairs:
        return None
    place, inner = draw.choice(pairs)
    wanted = variation.without(parent, place)
    variation.graft(parent, inner, place, wanted)
    return complete(variation.space, wanted, draw), f"hoist {inner} to {place}"


def insert(
    variation: Variation, parent: Derivation, draw: random.Random
) -> tuple[Derivation, str] | None:
    """An operator above a subtree."""
    table = variation.space.table
    pairs = [
        (place, index)
        for place in variation.places(parent)
        for index, option in enumerate(table[place].options)
        if variation.inner(place, option)
    ]
    if not pairs:
        return None
    place, index = draw.choice(pairs)
    option = table[place].options[index]
    wanted = variation.without(parent, place) | {place: index}
    variation.graft(parent, place, draw.choice(variation.inner(place, option)), wanted)
    return complete(variation.space, wanted, draw), f"insert {option.label} at {place}"


EDITS: tuple[Edit, ...] = (swap, swap, regrow, hoist, insert)
