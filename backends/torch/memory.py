"""What a program keeps for its backward pass: bytes, the plan over time, shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from torch import Tensor

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.errors import LayerOptionError
from rnndsl.backends.torch.derivative import ProgramDerivative
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.backends.torch.program import SequenceProgram
from rnndsl.compiler.byte_count import parse_bytes
from rnndsl.compiler.memory import BudgetTooSmallError, Costs, MemoryPlan, plan_memory

Tensors = Sequence[Tensor]
# Lengths and batches whose plans are remembered.
_MOST_PLANS = 256


def budget_bytes(given: int | str | None) -> int | None:
    """The bytes of a memory budget as users give it; LayerOptionError for what is none."""
    if given is None:
        return None
    try:
        found = parse_bytes(given) if isinstance(given, str) else given
    except ValueError:
        found = 0
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        wanted = 'a number of bytes, such as "64MiB"'
        raise LayerOptionError(catalogue.BadOption(None, "memory_budget", wanted, repr(given)))
    return found


def memory_plan(
    program: SequenceProgram, derivative: ProgramDerivative, inputs: Tensors, whole: bool = False
) -> MemoryPlan:
    """The blocks of such inputs, what is held of them and what is run again.

    ``whole`` takes all for one block where there is no budget.  LayerInputError if the budget
    is too small for the inputs.
    """
    budget = program.memory_budget
    # Sizes are numbers here: a plan for every length that there may be would be no plan.
    time, batch = (int(size) for size in inputs[0].shape[:2])
    size = batch * inputs[0].element_size()
    costs = Costs(
        derivative.step_elements * size,
        derivative.state_elements * size,
        derivative.first_elements * size,
        program.in_blocks,
    )
    return affordable_plan(costs, time, batch, budget, time if whole and budget is None else None)


@lru_cache(maxsize=_MOST_PLANS)
def affordable_plan(
    costs: Costs, steps: int, batch: int, budget: int | None, block: int | None = None
) -> MemoryPlan:
    """As plan_memory; LayerInputError (E0423) if the budget is too small for these inputs."""
    try:
        return plan_memory(costs, steps, budget, block)
    except BudgetTooSmallError as error:
        problem = catalogue.BudgetTooSmall(None, error.budget, steps, batch, error.least)
        raise LayerInputError(problem) from None


def kept_shapes(
    program: SequenceProgram, derivative: ProgramDerivative, inputs: Tensors
) -> list[tuple[int, ...]]:
    """The shapes of what the forward pass keeps besides its outputs, in order.

    Where all is held these are the saved streams; otherwise the states at boundaries and then
    the saved streams of the blocks that are held.
    """
    time, batch = inputs[0].shape[:2]
    whole = [(time, batch, *kind.sizes) for kind in derivative.kept]
    if program.memory_budget is None:
        return whole  # for any T, also one that is not known yet
    plan = memory_plan(program, derivative, inputs)
    if plan.kind == "none":
        return whole
    places = derivative.state_places
    states = [
        (batch, *kind.sizes)
        for kind, place in zip(program.states.values(), places, strict=True)
        if place is None
    ]
    shapes = [*states * len(plan.boundaries)]
    for block in range(plan.blocks - plan.held, plan.blocks):
        steps = min(plan.block, plan.steps - block * plan.block)
        shapes += [(steps, batch, *kind.sizes) for kind in derivative.kept]
    return shapes
