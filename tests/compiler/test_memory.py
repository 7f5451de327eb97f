"""Plans of memory over time: within the budget, and no cheaper plan exists."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnndsl.compiler.byte_count import parse_bytes
from rnndsl.compiler.memory import (
    BudgetTooSmallError,
    Costs,
    MemoryPlan,
    block_steps,
    plan_memory,
)

COSTS = st.builds(Costs, step=st.integers(1, 9), state=st.integers(0, 30), first=st.integers(0, 5))
NEVER = 10**9


def fewest_reruns(count: int, run: int, state: int, budget: int) -> int:
    """Over all choices of boundaries and of held blocks, and all ways to go back."""

    @lru_cache(None)
    def back(blocks: int, memory: int) -> int:
        best = blocks if blocks * run <= memory else NEVER
        for cut in range(1, blocks):
            if run + (state if cut > 1 else 0) <= memory:
                best = min(best, cut + back(blocks - cut, memory - state) + back(cut, memory))
        return best

    best = NEVER
    for held in range(count):
        for kept in range(count - held):
            memory = budget - held * run - kept * state
            for cuts in combinations(range(1, count - held), kept) if memory >= 0 else ():
                edges = (0, *cuts, count - held)
                parts = pairwise(edges)
                best = min(best, sum(back(stop - first, memory) for first, stop in parts))
    return best


def held_at_most(plan: MemoryPlan, costs: Costs) -> int:
    """The peak of a plan, counted object by object."""
    made, done = set(plan.boundaries), plan.blocks
    length = [min(plan.block, plan.steps - k * plan.block) for k in range(plan.blocks)]
    runs = plan.held if plan.moves else 1  # where all is held, it is saved by one
    held = sum(length[plan.blocks - plan.held :]) * costs.step + runs * costs.first
    total = held + len(made) * costs.state
    done -= plan.held
    for move in plan.moves:
        assert move.first == 0 or move.first in made, "it starts from states that are there"
        now = held + len(made) * costs.state
        if move.back:
            assert move.stop == done, "it goes back without a gap"
            done = move.first
            now += sum(length[move.first : move.stop]) * costs.step
            now += (move.stop - move.first) * (costs.state + costs.first)
            made -= {move.first} - set(plan.boundaries)
        else:
            now += costs.step * length[move.first] + costs.first
            now += costs.state * min(move.stop - move.first, 2)
            made.add(move.stop)
        total = max(total, now)
    assert done == 0, "it goes back through all blocks"
    return total


@settings(max_examples=300, deadline=None)
@given(
    costs=COSTS, steps=st.integers(1, 300), budget=st.integers(1, 4000), block=st.integers(1, 40)
)
def test_a_plan_goes_back_through_all_blocks_within_the_budget(
    costs: Costs, steps: int, budget: int, block: int
) -> None:
    try:
        plan = plan_memory(costs, steps, budget, block)
    except BudgetTooSmallError as error:
        assert error.least > budget
        assert plan_memory(costs, steps, error.least, block).peak <= error.least
        with pytest.raises(BudgetTooSmallError):
            plan_memory(costs, steps, error.least - 1, block)
        return
    assert held_at_most(plan, costs) == plan.peak <= budget


@settings(max_examples=300, deadline=None)
@given(
    costs=COSTS, count=st.integers(2, 8), block=st.integers(1, 4), share=st.floats(0, 1, width=32)
)
def test_no_plan_runs_fewer_blocks_again(
    costs: Costs, count: int, block: int, share: float
) -> None:
    steps = count * block
    whole = steps * costs.step + costs.first  # streams, which hold the states
    budget = int(share * (whole + (count - 1) * costs.state))
    expected = fewest_reruns(count, costs.block(block), costs.state, budget)
    try:
        plan = plan_memory(costs, steps, budget, block)
    except BudgetTooSmallError:
        assert expected == NEVER
        return
    assert plan.reruns == (0 if budget >= whole else expected)


@settings(max_examples=100, deadline=None)
@given(costs=COSTS, steps=st.integers(1, 5000), budget=st.integers(1, 100_000))
def test_more_memory_never_means_more_runs(costs: Costs, steps: int, budget: int) -> None:
    try:
        plan = plan_memory(costs, steps, budget)
    except BudgetTooSmallError:
        return
    assert plan_memory(costs, steps, budget + costs.step).reruns <= plan.reruns


@pytest.mark.parametrize(("budget", "kind"), [(10**9, "none"), (90, "blocks"), (25, "levels")])
def test_plans_have_kinds(budget: int, kind: str) -> None:
    assert plan_memory(Costs(1, 5), 1000, budget * 5).kind == kind


def test_one_level_repeats_every_block_at_most_once_with_the_root_of_the_steps() -> None:
    plan = plan_memory(Costs(1, 1), 10_000, 220)
    assert plan.kind == "blocks"
    assert plan.reruns <= plan.blocks


@pytest.mark.parametrize("steps", [1, 15, 16, 17, 1000, 65_536, 10**6])
def test_blocks_are_about_the_root_of_the_length(steps: int) -> None:
    block = block_steps(steps, 1 << 22)
    assert block % 16 == 0
    assert -(-steps // block) <= 256
    assert block <= max(16, steps**0.5 + 16, steps / 256 + 16)


@pytest.mark.parametrize(
    ("steps", "saved", "block"),
    [(1000, 0, 64), (1000, 1000, 64), (1000, 10**5, 32), (100, 10**5, 48), (100, 10**7, 16)],
)
def test_blocks_that_save_little_are_longer(steps: int, saved: int, block: int) -> None:
    assert block_steps(steps, saved) == block


def test_without_a_budget_everything_is_held() -> None:
    plan = plan_memory(Costs(2, 5), 1000, None)
    assert (plan.kind, plan.peak, plan.boundaries, plan.moves) == ("none", 2000, (), ())
    assert plan.block == plan_memory(Costs(2, 5), 1000, 300).block


def test_one_block_is_held_whatever_its_states_take() -> None:
    plan = plan_memory(Costs(3, 1000), 1, 3)
    assert (plan.kind, plan.peak, plan.boundaries) == ("none", 3, ())


def test_what_saves_nothing_needs_no_memory() -> None:
    assert plan_memory(Costs(0, 8), 1000, 1).peak == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4096", 4096), ("64MiB", 64 << 20), ("1.5 kB", 1500), ("2GiB", 2 << 30), ("7 B", 7)],
)
def test_bytes_are_read_with_their_unit(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "MiB", "-1", "64 mib", "1e3", "64MiBs"])
def test_other_texts_are_no_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="no number of bytes"):
        parse_bytes(text)


def test_more_blocks_than_levels_are_planned_for_run_again_once() -> None:
    costs, steps, block = Costs(100, 7), 400 * 16, 16
    with pytest.raises(BudgetTooSmallError) as caught:
        plan_memory(costs, steps, 1, block)
    least = caught.value.least
    plan = plan_memory(costs, steps, least, block)
    assert plan.kind == "blocks" and plan.reruns == plan.blocks == 400 and plan.peak <= least
    with pytest.raises(BudgetTooSmallError):
        plan_memory(costs, steps, least - 1, block)
