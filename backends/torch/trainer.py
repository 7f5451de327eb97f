"""The derivative of a program, compiled, and how a call goes back through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rnndsl.backends.torch.backends import compile_plan, compile_shared
from rnndsl.backends.torch.blocks import BlockRun, Gradients
from rnndsl.backends.torch.delayed import delayed
from rnndsl.backends.torch.derivative import ProgramDerivative
from rnndsl.backends.torch.handed_on import HandedOn
from rnndsl.backends.torch.picking import Pick
from rnndsl.backends.torch.program import SequenceProgram
from rnndsl.backends.torch.shared_values import SharedValues
from rnndsl.backends.torch.wiring import (
    BackwardWiring,
    ParameterWiring,
    wire_backward,
    wire_parameters,
)
from rnndsl.backends.torch.with_tvm import TvmStep
from rnndsl.compiler.plan import Plan

Tensors = Sequence[Tensor]
# A compiled plan (see with_tvm.py and emit.py): streams, states and parameters to outputs, final
# states and sums.
Step = Callable[..., tuple[Tensors, ...]]
# Sizes of batches whose first states are kept.
_MOST_KNOWN = 16


@dataclass(frozen=True)
class Engine:
    """Who runs a program's plans.

    ``backend`` names who compiles them: "torch" or "tvm".
    """

    backend: str
    shared: SharedValues
    _known: dict[tuple[int, torch.dtype, bool], tuple[Tensor, ...]] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether all that a plan returns is contiguous and newly allocated, and a plan may be
        told to take the sequence in blocks."""
        return self.backend == "tvm"

    def start(self, values: Tensors, like: Tensor, led: bool = False) -> tuple[Tensor, ...]:
        """The declared states before the first step, [B, *shape], or [1, B, *shape] if they are to
        be ``led``, of streams like that; they may be those of other calls, so they must not be
        written to."""
        key = like.shape[1], like.dtype, led
        known = self._known.get(key)
        if known is not None:
            return known
        found = self.shared.start(values, like)
        if led:
            found = tuple([start.unsqueeze(0) for start in found])
        if self.exact and self.shared.starts_with_numbers:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found

    def names(self, plan: Plan) -> tuple[str, ...]:
        """The parameters that a plan takes."""
        return plan.parts if self.exact else plan.params

    def params(self, plan: Plan) -> Pick:
        """Picks a plan's parameters from the shared values."""
        return self.shared.pick(self.names(plan))


class Forward(NamedTuple):
    """The plan of a program without gradients, compiled for one engine; ``params`` picks its
    parameters from the shared values."""

    engine: Engine
    step: Step
    params: Pick


@dataclass(frozen=True)
class Trainer:
    """The derivative of a program for one choice of wanted gradients, for one engine.

    ``forward_params`` and ``backward_params`` pick the plans' parameters from the shared
    values.  ``parameters`` are for declared and for given first states.  ``copied`` are, for
    either, the gradients of parameters that share memory with others: generated code makes the
    same ones in every call.
    """

    program: SequenceProgram
    engine: Engine
    derivative: ProgramDerivative
    forward: Step
    backward: Step
    pull_shared: Callable[[tuple[Tensor | None, ...], Tensor], Tensors]
    forward_params: Pick
    backward_params: Pick
    wiring: BackwardWiring
    parameters: tuple[ParameterWiring, ParameterWiring]
    copied: dict[bool, frozenset[int]] = field(default_factory=dict)
    handed_on: HandedOn = field(default_factory=HandedOn)


def make_trainer(
    program: SequenceProgram,
    engine: Engine,
    derivative: ProgramDerivative,
    wanted: frozenset[str],
) -> Trainer:
    """Compile what a training step needs."""
    names = engine.shared.names
    return Trainer(
        program,
        engine,
        derivative,
        compile_plan(derivative.forward_plan, engine.backend),
        compile_plan(derivative.backward_plan, engine.backend),
        compile_shared(derivative.shared, engine.backend),
        engine.params(derivative.forward_plan),
        engine.params(derivative.backward_plan),
        wire_backward(program, derivative, wanted),
        (
            wire_parameters(program, derivative, wanted, names, given_states=False),
            wire_parameters(program, derivative, wanted, names, given_states=True),
        ),
    )


def begin(trainer: Trainer, like: Tensor) -> None:
    """Begin to make the kernels of a training step on such tensors, the larger ones first."""
    for step in (trainer.backward, trainer.forward):
        if isinstance(step, TvmStep):
            step.kernel.begin(like)


class Found(NamedTuple):
    """Gradients of the wanted inputs, of the states before the first step, and of the wanted
    parameters, None standing for zero; and the sums over time that the last are parts of."""

    inputs: list[Tensor | None]
    states: list[Tensor]
    params: list[Tensor | None]
    sums: Tensors


def go_back(
    trainer: Trainer,
    run: BlockRun,
    values: tuple[Tensor, ...],
    kept: Tensors,
    cotangents: Sequence[Tensor | None],
    given_states: bool,
) -> Found:
    """Gradients of a call.

    ``run`` is the call as the forward pass made it, ``values`` its shared values; the others
    are as for :meth:`Runner.run_backward`.
    """
    like, count = run.inputs[0], len(trainer.program.outputs)
    sizes = trainer.engine.shared.state_sizes
    carried = [
        like.new_zeros((like.shape[1], *size)) if d is None else d
        for d, size in zip(cotangents[count:], sizes, strict=True)
    ]
    block = run.plan.block if run.exact else 0
    back = partial(_back, trainer, trainer.backward_params(values), block)
    d_inputs, d_states, sums = run.back(kept, cotangents[:count], carried, back)
    inputs = [None if place is None else d_inputs[place] for place in trainer.wiring.inputs]
    wiring = trainer.parameters[given_states]
    params = _parameters(trainer, wiring, sums, d_states, values, like)
    return Found(inputs, list(d_states), params, sums)


def _back(
    trainer: Trainer,
    params: tuple[Tensor, ...],
    block: int,
    inputs: Tensors,
    start: Tensors,
    kept: Tensors,
    cotangents: Sequence[Tensor | None],
    carried: Tensors,
    sums: Tensors,
) -> Gradients:
    """Back through a sequence or a block of it; ``carried`` are the cotangents of the states
    after it, and come back as those of the states before it.  Plans that go block by block by
    themselves are told the steps of a ``block``, and add to ``sums``."""
    wiring, program, like = trainer.wiring, trainer.program, inputs[0]
    streams = [*inputs, *kept]
    late = [delayed(streams[place], start[k], program.reverse) for place, k in wiring.delayed]
    ends = [
        like.new_zeros(()).expand(*like.shape[:2], *kind.sizes) if d is None else d
        for d, kind in zip(cotangents, program.outputs.values(), strict=True)
    ]
    told = (block, tuple(sums)) if block else ()
    outputs, states, found = trainer.backward(
        wiring.streams([*streams, *late, *ends]), wiring.carried(carried), params, *told
    )
    return outputs, wiring.states(states), found


def _parameters(
    trainer: Trainer,
    wiring: ParameterWiring,
    sums: Tensors,
    d_states: Tensors,
    values: Tensors,
    like: Tensor,
) -> list[Tensor | None]:
    """Gradients of the wanted parameters, None standing for zero."""
    have = [*sums, *(d_states[k].sum(0) for k in wiring.first), *values]
    leaves: list[Tensor | None] = [None] * len(wiring.leaves)
    for place, leaf in enumerate(wiring.leaves):
        if isinstance(leaf, int):
            leaves[place] = have[leaf]
        elif leaf is not None:
            leaves[place] = like.new_zeros(()).expand(leaf)
    pulled = trainer.pull_shared(tuple(leaves), like)
    found: list[Tensor | None] = []
    for direct, made in wiring.gradients:
        parts = [] if direct is None else [sums[direct]]
        parts += [] if made is None else [pulled[made]]
        found.append(parts[0] + parts[1] if len(parts) > 1 else parts[0] if parts else None)
    return found
