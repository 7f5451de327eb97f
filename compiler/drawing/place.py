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
    # Loose parts are tied to one origin, so that each has a definite place; the ends of a pull
    # leave room for what they keep between them.
    origin, total = count, count + 1
    room = [0] * count
    for pull in near:
        room[pull.one] = max(room[pull.one], -pull.offset)
        room[pull.other] = max(room[pull.other], pull.offset)
    arcs = [*apart, *(Apart(origin, variable, least) for variable, least in enumerate(room))]
    constraints = _best_answers(total, arcs, near)
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


def _best_answers(total: int, arcs: list[Apart], near: list[Near]) -> list[Apart]:
    """What holds for the best answers, and for no others.

    A pull is ``weight (d + 2 max(0, -d))`` for ``d = value[other] - value[one] - offset``: an arc
    that may carry no more than twice its weight.  An arc that carries something keeps exactly its
    least distance, and one that carries all that it may keeps no more than that.
    """
    graph = nx.MultiDiGraph()
    demand = [0] * total
    pulls = [pull for pull in near if pull.weight]
    for low, high, weight in (
        *((arc.low, arc.high, arc.weight) for arc in arcs),
        *((pull.one, pull.other, pull.weight) for pull in pulls),
    ):
        demand[high] += weight
        demand[low] -= weight
    for variable in range(total):
        graph.add_node(variable, demand=demand[variable])
    for key, arc in enumerate(arcs):
        graph.add_edge(arc.low, arc.high, key=key, weight=-arc.least)
    for key, pull in enumerate(pulls, start=len(arcs)):
        most = 2 * pull.weight
        graph.add_edge(pull.one, pull.other, key=key, weight=-pull.offset, capacity=most)
    try:
        _, flow = nx.network_simplex(graph)
    except nx.NetworkXUnbounded:
        raise ValueError("the least distances contradict each other") from None
    found = list(arcs)
    for key, arc in enumerate(arcs):
        if flow[arc.low][arc.high][key] > 0:
            found.append(Apart(arc.high, arc.low, -arc.least))
    for key, pull in enumerate(pulls, start=len(arcs)):
        carried = flow[pull.one][pull.other][key]
        if carried < 2 * pull.weight:
            found.append(Apart(pull.one, pull.other, pull.offset))
        if carried > 0:
            found.append(Apart(pull.other, pull.one, -pull.offset))
    return found


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
