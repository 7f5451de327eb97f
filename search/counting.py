"""Counting, drawing and listing the derivations of a space, exactly.

A derivation assigns an option to every choice that is made; its size is the number of those
choices.  Counts by size are the coefficients of a polynomial per choice,

    p(choice) = x * sum over its options of the product of p over the option's choices,

so that one walk counts all cells of the space and lets us draw one uniformly, or uniformly
among those of one size (the recursive method of Flajolet, Zimmermann and Van Cutsem 1994).
Python's integers keep every count exact.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from rnndsl.search.space import Space

Derivation = dict[str, int]
Counts = list[int]  # the coefficient of x^k at index k


class Counter:
    """The counts of one space; made once, used for every draw."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._choices: dict[str, Counts] = {}
        self._sequences: dict[tuple[str, ...], Counts] = {}
        self.by_size: Counts = self.sequence(space.roots)

    @property
    def total(self) -> int:
        """How many derivations the space has."""
        return sum(self.by_size)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes that occur, in increasing order."""
        return tuple(size for size, count in enumerate(self.by_size) if count)

    def choice(self, name: str) -> Counts:
        """How many ways there are to make the choice ``name`` and all it leads to, by size."""
        if name not in self._choices:
            total: Counts = [0]
            for option in self._space.table[name].options:
                total = _sum(total, self.sequence(self._space.nested(option)))
            self._choices[name] = [0, *total]
        return self._choices[name]

    def sequence(self, names: tuple[str, ...]) -> Counts:
        """How many ways there are to make all the choices ``names``, by size."""
        if not names:
            return [1]
        if names not in self._sequences:
            self._sequences[names] = _product(self.choice(names[0]), self.sequence(names[1:]))
        return self._sequences[names]

    def draw(self, generator: random.Random, size: int | None = None) -> Derivation:
        """One derivation, uniformly among all; or among those of ``size``, which must occur."""
        if size is None:
            size = _pick(generator, self.by_size)
        derivation: Derivation = {}
        self._draw_sequence(generator, self._space.roots, size, derivation)
        return derivation

    def draw_by_size(self, generator: random.Random) -> Derivation:
        """One derivation: first a size, each as likely, then uniformly among those of it.

        Nearly all derivations of a grown expression are of nearly the greatest size, so that a
        draw that is uniform among all would hardly ever propose a small cell.
        """
        return self.draw(generator, generator.choice(self.sizes))

    def _draw_sequence(
        self, generator: random.Random, names: tuple[str, ...], size: int, into: Derivation
    ) -> None:
        for position, name in enumerate(names):
            own, rest = self.choice(name), self.sequence(names[position + 1 :])
            weights = [
                own[k] * rest[size - k] if k < len(own) and size - k < len(rest) else 0
                for k in range(size + 1)
            ]
            part = _pick(generator, weights)
            self._draw_choice(generator, name, part, into)
            size -= part

    def _draw_choice(
        self, generator: random.Random, name: str, size: int, into: Derivation
    ) -> None:
        options = self._space.table[name].options
        nested = [self._space.nested(option) for option in options]
        counts = [self.sequence(names) for names in nested]
        weights = [c[size - 1] if size - 1 < len(c) else 0 for c in counts]
        into[name] = index = _pick(generator, weights)
        self._draw_sequence(generator, nested[index], size - 1, into)


def enumerate_derivations(space: Space) -> Iterator[Derivation]:
    """Every derivation of the space, once each; lazily, since there may be very many."""
    return _expand(space, space.roots)


def _expand(space: Space, names: tuple[str, ...]) -> Iterator[Derivation]:
    if not names:
        yield {}
        return
    for index, option in enumerate(space.table[names[0]].options):
        for inner in _expand(space, space.nested(option)):
            for rest in _expand(space, names[1:]):
                yield {names[0]: index, **inner, **rest}


def _pick(generator: random.Random, weights: Sequence[int]) -> int:
    """An index with probability proportional to its whole-number weight."""
    point = generator.randrange(sum(weights))
    for index, weight in enumerate(weights):
        if point < weight:
            return index
        point -= weight
    raise AssertionError("the weights are counts that are not negative")


def _sum(left: Counts, right: Counts) -> Counts:
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    return [a + b for a, b in zip(longer, [*shorter, *[0] * len(longer)], strict=False)]


def _product(left: Counts, right: Counts) -> Counts:
    result = [0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        if a:
            for j, b in enumerate(right):
                result[i + j] += a * b
    return result
