"""Memory over time: what the forward pass keeps for the backward pass, and what is run again.

A sequence is cut into blocks of time.  To go back through a block, the backward pass needs the
values that the block's forward run saves.  They are either held from the forward pass or made
again: the block is run a second time from its first states, which are kept (a checkpoint) or
made in their turn by running blocks before it (Chen et al. 2016; Gruslys et al. 2016).

The length of a block depends on the sequence and on what a step saves, not on the budget.  So
every plan, also the one that holds everything, sums over the same blocks in the same order, and
the gradients of all plans are equal, bit by bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rnndsl.compiler.memory_levels import cheapest_levels

_SHORTEST = 16  # steps: a run of a block costs a few calls, whatever its length
# Blocks that save little are longer: up to so many steps, while they save fewer bytes than this,
# and in long sequences, where memory is what counts, fewer than a quarter of it.
_LONGEST_SMALL, _SMALL, _LONG = 64, 1 << 22, 512
_MOST_BLOCKS = 256  # planning several levels takes time cubic in the number of blocks


class BudgetTooSmallError(ValueError):
    """No plan needs as little; ``least`` bytes are enough for one."""

    def __init__(self, budget: int, least: int) -> None:
        super().__init__(f"{budget} bytes are too few, {least} are needed")
        self.budget = budget
        self.least = least


class Costs(NamedTuple):
    """What a program keeps, in bytes, for one batch.

    ``step`` counts the saved values of one time step; ``state`` the states between two steps,
    without those that an input or an output of the program holds anyway; ``first`` the states
    before the first step that lie beside saved ones.  ``long``: a step is many time steps.
    """

    step: int
    state: int
    first: int = 0
    long: bool = False

    def saved(self, steps: int) -> int:
        """What one run of so many steps saves."""
        return steps * self.step + self.first

    def block(self, steps: int) -> int:
        """What one run of a block makes: its saved values and its last states."""
        return self.saved(steps) + self.state


@dataclass(frozen=True, slots=True)
class Move:
    """One action of the backward pass, on the blocks from ``first`` to before ``stop``.

    Both kinds start from the states before block ``first``.  ``back`` runs the blocks again,
    holds what they save, and goes back through them; the states before ``first`` are dropped
    then.  Otherwise the blocks are run for the states before ``stop`` alone, which are kept.
    """

    first: int
    stop: int
    back: bool


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """``block`` steps make a block; boundary k lies before block k, in the order of the run.

    The forward pass keeps the states at ``boundaries`` and what the last ``held`` blocks
    save; where those are all, it keeps whole streams, which hold the states too.  The backward
    pass goes back through those and then makes the ``moves``.  ``peak`` is the most that is held
    at one time, in bytes.
    """

    steps: int
    block: int
    boundaries: tuple[int, ...]
    held: int
    moves: tuple[Move, ...]
    peak: int

    @property
    def blocks(self) -> int:
        return -(-self.steps // self.block)

    @property
    def reruns(self) -> int:
        """How many runs of a block the backward pass repeats."""
        return sum(move.stop - move.first for move in self.moves)

    @property
    def kind(self) -> str:
        """``none`` repeats nothing, ``blocks`` each block at most once, else ``levels``."""
        if not self.moves:
            return "none"
        return "blocks" if all(move.back for move in self.moves) else "levels"


def block_steps(steps: int, saved: int, long: bool = False) -> int:
    """The length of a block, for a sequence of so many steps: about their square root.

    ``saved`` are the bytes that a step saves: where they are few, a block is longer.  Multiples
    of 16, so that blocks of an aligned stream of 4-byte numbers are aligned too; but for ``long``
    steps, each of which is worth its calls.
    """
    wanted = max(math.isqrt(steps - 1) + 1, -(-steps // _MOST_BLOCKS))
    if long:
        return wanted
    small = _SMALL if steps < _LONG else _SMALL // 4
    wanted = max(wanted, min(_LONGEST_SMALL, small // max(saved, 1)))
    return max(-(-wanted // _SHORTEST), 1) * _SHORTEST


@lru_cache(maxsize=256)
def plan_memory(
    costs: Costs, steps: int, budget: int | None, block: int | None = None
) -> MemoryPlan:
    """The plan that runs the fewest blocks again while it holds at most ``budget`` bytes.

    ``steps`` is T; ``block`` is by default :func:`block_steps`.  Without a budget it holds
    everything.  BudgetTooSmallError names the least budget that has a plan; with more than
    256 blocks, one that runs no block twice.
    """
    block = block or block_steps(steps, costs.step, costs.long)
    count = -(-steps // block)
    whole = costs.saved(steps)
    if budget is None or whole <= budget:
        return MemoryPlan(steps, block, (), count, (), whole)
    run = costs.block(block)
    levels = count <= _MOST_BLOCKS
    least = min(whole, run + costs.state if levels else _grouped(count, run, costs.state)[0])
    if budget < least:
        raise BudgetTooSmallError(budget, least)
    found = _one_level(count, run, costs.state, budget)
    if found is None:
        checkpoints, moves = cheapest_levels(count, run, costs.state, budget)
        boundaries, held = tuple(checkpoints), 0
        moved = tuple(Move(*move) for move in moves)
    else:
        boundaries, held, moved = found
    plan = MemoryPlan(steps, block, boundaries, held, moved, 0)
    return MemoryPlan(steps, block, boundaries, held, moved, predicted_peak(plan, costs))


def _one_level(
    count: int, run: int, state: int, budget: int
) -> tuple[tuple[int, ...], int, tuple[Move, ...]] | None:
    """Every block runs again at most once, the last ones not at all; None if that is too much.

    The others are cut into groups; a group runs again and is held as a whole.
    """
    for held in range(count - 1, -1, -1):
        others = count - held
        needed, size = _grouped(others, run, state)
        if needed + held * run > budget:
            continue
        edges = even_cuts(others, -(-others // size))
        tail = range(others, count)
        moves = (Move(a, b, True) for a, b in zip(edges[-2::-1], edges[:0:-1], strict=True))
        return (*edges[1:-1], *tail), held, tuple(moves)
    return None


def _grouped(count: int, run: int, state: int) -> tuple[int, int]:
    """The least bytes with which so many blocks run again once, and how many make a group."""
    sizes = range(1, math.isqrt(count) + 2)
    return min((-(-count // n) * state - state + n * run, n) for n in sizes)


def even_cuts(count: int, parts: int) -> list[int]:
    """0 to ``count`` in so many parts of nearly equal size: where they begin and end."""
    return [count * k // parts for k in range(parts + 1)]


def predicted_peak(plan: MemoryPlan, costs: Costs) -> int:
    """The most bytes that a plan holds at one time, by going through it."""

    def length(block: int) -> int:
        return min(plan.block, plan.steps - block * plan.block)

    saved = sum(costs.saved(length(k)) for k in range(plan.blocks - plan.held, plan.blocks))
    kept = saved + len(plan.boundaries) * costs.state
    extra: set[int] = set()  # boundaries whose states the backward pass made
    peak = kept
    for move in plan.moves:
        here = kept + len(extra) * costs.state
        if move.back:
            here += sum(costs.block(length(k)) for k in range(move.first, move.stop))
            extra.discard(move.first)
        else:
            carried = costs.state if move.stop - move.first > 1 else 0
            here += carried + costs.block(length(move.first))
            extra.add(move.stop)
        peak = max(peak, here)
    return peak
