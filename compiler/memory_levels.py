"""Running blocks again on several levels: a dynamic programme over length and memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NEVER = 1 << 40
Counts = NDArray[np.int64]
# First block, the block after the last one, and whether to go back through them.
Triple = tuple[int, int, bool]
# By number of blocks: how many runs it takes, and after which block to keep states first.
Level = tuple[Counts, Counts]


def cheapest_levels(
    count: int, run: int, state: int, budget: int
) -> tuple[list[int], list[Triple]]:
    """Where the forward pass keeps states, and what the backward pass does, for the fewest runs.

    A run of a block makes ``run`` bytes, states at a boundary take ``state`` bytes; ``budget``
    holds a run and the states of one boundary at least.  Blocks are numbered from 0, boundary
    k lies before block k; moves are triples (first, stop, back) as in memory.Move.
    """
    levels = rerun_levels(count, run, state, budget)[:count]
    bounds = [_least_split(costs, count, kept + 1) for kept, (costs, _) in enumerate(levels)]
    best, kept, sizes = 2 * _NEVER, 0, [count]
    for candidate in np.argsort(bounds, kind="stable"):
        if bounds[candidate] >= best:
            break
        costs = levels[candidate][0]
        found = _split(costs, count, int(candidate) + 1, bounds[candidate])
        total = sum(int(costs[size]) for size in found)
        if total < best:
            best, kept, sizes = total, int(candidate), found
    edges = [0, *(int(edge) for edge in np.cumsum(sizes))]
    moves: list[Triple] = []
    for first, stop in zip(edges[-2::-1], edges[:0:-1], strict=True):
        _back(levels, kept, first, stop, moves)
    return edges[1:-1], moves


def rerun_levels(count: int, run: int, state: int, budget: int) -> list[Level]:
    """For each number of boundaries whose states are kept already: what going back costs.

    Blocks that fit into the memory together run once.  Of others, the first few run for the
    states after them, which are kept while the rest is gone back through.
    """
    levels: list[Level] = []
    lengths = np.arange(count + 1, dtype=np.int64)
    below = np.full(count + 1, _NEVER, np.int64)
    for kept in range(min((budget - run) // state, count), -1, -1):
        memory = budget - kept * state
        costs, cuts = np.full(count + 1, _NEVER, np.int64), np.zeros(count + 1, np.int64)
        fitting = min(memory // run, count)
        costs[: fitting + 1] = lengths[: fitting + 1]
        # While blocks run for their states alone, these move from one to the next.
        for blocks in range(fitting + 1, count + 1) if memory >= run + state else ():
            found = lengths[1:blocks] + costs[1:blocks] + below[blocks - 1 : 0 : -1]
            cuts[blocks] = np.argmin(found) + 1
            costs[blocks] = found[cuts[blocks] - 1]
        levels.append((costs, cuts))
        below = costs
    return levels[::-1]


def _split(costs: Counts, count: int, parts: int, least: float) -> list[int]:
    """Sizes of so many parts with the least cost together, which is at least ``least``."""
    even = [count * (k + 1) // parts - count * k // parts for k in range(parts)]
    if sum(int(costs[size]) for size in even) <= least:
        return even
    best = costs.copy()
    choices = []
    for _ in range(parts - 1):
        sums = [best[: total + 1] + costs[total::-1] for total in range(count + 1)]
        choices.append([total - int(np.argmin(found)) for total, found in enumerate(sums)])
        best = np.array([found.min() for found in sums])
    sizes, left = [], count
    for chosen in reversed(choices):
        sizes.append(chosen[left])
        left -= sizes[-1]
    return [size for size in (*sizes, left) if size]


def _least_split(costs: Counts, count: int, parts: int) -> float:
    """A bound from below for the cost of ``count`` blocks in so many parts; the cost itself,
    if that grows ever faster: then parts of nearly equal size are best."""
    hull: list[int] = []
    for blocks, cost in enumerate(costs):
        while len(hull) > 1 and _turns_up(costs, hull[-2], hull[-1], blocks, int(cost)):
            hull.pop()
        hull.append(blocks)
    return parts * float(np.interp(count / parts, hull, costs[hull]))


def _turns_up(costs: Counts, first: int, middle: int, last: int, cost: int) -> bool:
    """Whether the middle one lies on or above the line between its neighbours."""
    rise = int(costs[middle]) - int(costs[first])
    return rise * (last - first) >= (cost - int(costs[first])) * (middle - first)


def _back(levels: list[Level], kept: int, first: int, stop: int, moves: list[Triple]) -> None:
    """Append the moves that go back from ``stop`` to ``first``."""
    while cut := int(levels[kept][1][stop - first]):
        moves.append((first, first + cut, False))
        _back(levels, kept + 1, first + cut, stop, moves)
        stop = first + cut
    moves.append((first, stop, True))
