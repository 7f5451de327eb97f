"""Numbers that are near each other and yet apart: the one optimisation behind a drawing.

Both questions of a layered drawing, which layer a block is on and where in its layer, are
the same linear programme: minimise the weighted distances between variables, such that some
pairs keep a least distance.  Its dual is a minimum-cost flow, which networkx solves; the
variables are read back from the flow as longest paths (Gansner, Koutsofios, North and Vo,
"A technique for drawing directed graphs", 1993, describes the formulation).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import networkx as nx


@dataclass(frozen=True, slots=True)
class Apart:
    """``value[high] - value[low] >= least``; every unit of distance costs ``weight``."""

    low: int
    high: int
    least: int
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Near:
    """``|value[one] + offset - value[other]|`` costs ``weight`` for every unit."""

    one: int
    other: int
    offset: int
    weight: int


def place(count: int, apart: list[Apart], near: list[Near], centred: bool = False) -> list[int]:
    """Integers for ``count`` variables at the least total cost, the smallest being 0.

    Among equally good answers it takes the one with the smallest values or, with
    ``centred``, the middle between the smallest and the largest.  The differences that
    ``apart`` asks for must not contradict each other along a cycle: ValueError.
    """
    arcs = list(apart)
    total = count
    for pull in near:
        # A helper variable below both ends, as near to them as it can be.
        low_one, low_other = max(0, -pull.offset), max(0, pull.offset)
        arcs.append(Apart(total, pull.one, low_one, pull.weight))
        arcs.append(Apart(total, pull.other, low_other, pull.weight))
        total += 1
    # Loose parts are tied to one origin, so that each has a definite place.
    origin = total
    arcs += [Apart(origin, variable, 0) for variable in range(total)]
    total += 1

    tight = _tight_arcs(total, arcs)
    equalities = [
        Apart(a.high, a.low, -a.least) for a, fixed in zip(arcs, tight, strict=True) if fixed
    ]
    constraints = arcs + equalities
    low = _longest_paths(total, constraints)
    if centred:
        backward = [Apart(a.high, a.low, a.least) for a in constraints]
        high = [-v for v in _longest_paths(total, backward)]
        top = max(low[:count], default=0)
        # The largest answer is unbounded by itself: hold its right-most value to the other's.
        shift = top - max(high[:count], default=0)
        low = [(a + b + shift) // 2 for a, b in zip(low, high, strict=True)]
    smallest = min(low[:count], default=0)
    return [value - smallest for value in low[:count]]


def _tight_arcs(total: int, arcs: list[Apart]) -> list[bool]:
    """Which of the differences are exactly the least in every best answer."""
    graph = nx.MultiDiGraph()
    demand = [0] * total
    for arc in arcs:
        demand[arc.high] += arc.weight
        demand[arc.low] -= arc.weight
    for variable in range(total):
        graph.add_node(variable, demand=demand[variable])
    for key, arc in enumerate(arcs):
        graph.add_edge(arc.low, arc.high, key=key, weight=-arc.least)
    try:
        _, flow = nx.network_simplex(graph)
    except nx.NetworkXUnbounded:
        raise ValueError("the least distances contradict each other") from None
    return [flow[arc.low][arc.high][key] > 0 for key, arc in enumerate(arcs)]


def _longest_paths(total: int, constraints: list[Apart]) -> list[int]:
    """The smallest non-negative values that satisfy ``high - low >= least`` for all."""
    leaving: list[list[Apart]] = [[] for _ in range(total)]
    for constraint in constraints:
        leaving[constraint.low].append(constraint)
    values = [0] * total
    waiting = deque(range(total))
    queued = [True] * total
    while waiting:
        variable = waiting.popleft()
        queued[variable] = False
        for constraint in leaving[variable]:
            least = values[variable] + constraint.least
            if least > values[constraint.high]:
                values[constraint.high] = least
                if not queued[constraint.high]:
                    queued[constraint.high] = True
                    waiting.append(constraint.high)
    return values
