"""The order in which the factors of one big product are multiplied, by exact search.

A product of n factors (an einsum) is taken two at a time.  Which two, and when, changes the
arithmetic by orders of magnitude.  The best order is found as opt_einsum's ``optimal`` finds it,
here by dynamic programming over subsets of the factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

MOST_FACTORS = 8

# How often a product is taken, for each of the kinds of factor: once per sequence, once per
# time step for all steps together, once per time step in the loop.
SHARED, STREAMED, RECURRING = 0, 1, 2
_TIMES = {SHARED: 1 / 32, STREAMED: 1.0, RECURRING: 2.0}
# What an element of each example's own costs to be read or written, in operations.
_TRAFFIC = 4


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor: its letters, and which of SHARED, STREAMED, RECURRING it is."""

    letters: str
    level: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two factors, or products of them, multiplied; ``letters`` are those of the result."""

    left: Tree
    right: Tree
    letters: str


Tree = Pair | int  # a factor by its position


@dataclass(frozen=True, slots=True)
class _Made:
    cost: float
    tree: Tree
    letters: str
    level: int


def best_order(
    factors: Sequence[Factor], output: str, sizes: Mapping[str, int]
) -> tuple[Tree, float]:
    """The cheapest order of up to MOST_FACTORS factors, and its cost in operations.

    ``sizes`` of all letters; ``output`` are the letters of the result, in its order.
    """
    count = len(factors)
    made = {1 << k: _Made(0.0, k, f.letters, f.level) for k, f in enumerate(factors)}
    whole = (1 << count) - 1
    for subset in sorted(range(1, whole + 1), key=int.bit_count):
        if subset in made:
            continue
        others = [f.letters for k, f in enumerate(factors) if not subset >> k & 1]
        wanted = set(output).union(*others)
        best: _Made | None = None
        lowest = subset & -subset
        part = subset
        while part := (part - 1) & subset:
            # Each split once: the part with the first factor stands left.
            if part & lowest:
                found = _pair(made[part], made[subset ^ part], wanted, output, sizes)
                if best is None or found.cost < best.cost:
                    best = found
        assert best is not None
        made[subset] = best
    return made[whole].tree, made[whole].cost


def cost_of(tree: Tree, factors: Sequence[Factor], output: str, sizes: Mapping[str, int]) -> float:
    """The cost of a given order, as :func:`best_order` counts it."""
    return _made(tree, factors, output, sizes).cost


def _made(tree: Tree, factors: Sequence[Factor], output: str, sizes: Mapping[str, int]) -> _Made:
    if isinstance(tree, int):
        return _Made(0.0, tree, factors[tree].letters, factors[tree].level)
    left, right = (_made(part, factors, output, sizes) for part in (tree.left, tree.right))
    return _pair(left, right, set(tree.letters), output, sizes)


def _pair(
    left: _Made, right: _Made, wanted: set[str], output: str, sizes: Mapping[str, int]
) -> _Made:
    both = "".join(dict.fromkeys(left.letters + right.letters))
    kept = "".join(c for c in both if c in wanted)
    if len(kept) == len(output) and set(kept) == set(output):
        kept = output
    level = max(left.level, right.level)
    moved = sum(
        prod(sizes[c] for c in letters)
        for letters, of in ((left.letters, left.level), (right.letters, right.level), (kept, level))
        if of != SHARED
    )
    here = 2 * prod(sizes[c] for c in both) + _TRAFFIC * moved
    cost = left.cost + right.cost + _TIMES[level] * here
    return _Made(cost, Pair(left.tree, right.tree, kept), kept, level)
