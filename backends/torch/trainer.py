"""The derivative of a program, compiled, and how a call goes back through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from rnndsl.backends.torch.backends import compile_plan, compile_shared
from rnndsl.backends.torch.blocks import Backward, Gradients
from rnndsl.backends.torch.delayed import delayed
from rnndsl.backends.torch.derivative import ProgramDerivative
from rnndsl.backends.torch.handed_on import HandedOn
from rnndsl.backends.torch.ownership import apart, fresh, own
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
# Sizes of batches whose first states, and whose zeros, are kept.
_MOST_KNOWN = 16


K = TypeVar("K")
V = TypeVar("V")


def _keep(known: dict[K, V], key: K, value: V) -> None:
    """Keep a value, and not many others."""
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[key] = value


@dataclass(frozen=True)
class Engine:
    """Who runs a program's plans.

    ``backend`` names who compiles them: "torch" or "tvm".
    """

    backend: str
    shared: SharedValues
    _starts: dict[tuple[int, torch.dtype, bool], tuple[Tensor, ...]] = field(default_factory=dict)
    _zeros: dict[tuple[int, torch.dtype], tuple[Tensor, ...]] = field(default_factory=dict)

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
        known = self._starts.get(key)
        if known is not None:
            return known
        found = self.shared.start(values, like)
        if led:
            found = tuple([start.unsqueeze(0) for start in found])
        if self.exact and self.shared.starts_with_numbers:
            _keep(self._starts, key, found)
        return found

    def zeros(self, like: Tensor) -> tuple[Tensor, ...]:
        """Zero for each state [B, *shape] of streams like that; not to be written to either."""
        key = like.shape[1], like.dtype
        known = self._zeros.get(key)
        if known is not None:
            return known
        found = tuple([like.new_zeros((key[0], *size)) for size in self.shared.state_sizes])
        if self.exact:
            _keep(self._zeros, key, found)
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
    walk: Callable[[Tensors, Sequence[Tensor | None], Tensors, Backward], Gradients],
    block: int,
    like: Tensor,
    values: tuple[Tensor, ...],
    kept: Tensors,
    cotangents: Sequence[Tensor | None],
    given_states: bool,
) -> Found:
    """Gradients of a call on streams like that.

    ``walk`` goes back through it as :meth:`BlockRun.back` does, with a kernel that takes ``block``
    steps at a time (0: all that it gets); ``values`` are its shared values, the others are as for
    :meth:`Runner.run_backward`.
    """
    count = len(trainer.program.outputs)
    back = partial(_back, trainer, trainer.backward_params(values), block)
    carried = _carried(trainer, cotangents[count:], like)
    d_inputs, d_states, sums = walk(kept, cotangents[:count], carried, back)
    inputs = [None if place is None else d_inputs[place] for place in trainer.wiring.inputs]
    wiring = trainer.parameters[given_states]
    params = _parameters(trainer, wiring, sums, d_states, values, like)
    return Found(inputs, list(d_states), params, sums)


def _carried(trainer: Trainer, cotangents: Sequence[Tensor | None], like: Tensor) -> Tensors:
    """The cotangents of the final states, which may be those of other calls, so that they must not
    be written to."""
    given = [d for d in cotangents if d is not None]
    if len(given) == len(cotangents):
        return given
    zeros = trainer.engine.zeros(like)
    return [zero if d is None else d for d, zero in zip(cotangents, zeros, strict=True)]


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
    have = [*sums, *[d_states[k].sum(0) for k in wiring.first]]
    zeros = [like.new_zeros(()).expand(shape) for shape in wiring.zeros]
    pulled = trainer.pull_shared(wiring.leaves((*have, *zeros, *values, None)), like)
    parts = (*sums, *pulled, None)
    found = list(wiring.gradients(parts))
    for place, other in wiring.added:
        found[place] = found[place] + parts[other]
    return found


def owned_gradients(
    trainer: Trainer,
    found: Found,
    needs: Sequence[bool],
    inputs: Tensors,
    states: Tensors,
    params: Tensors,
    others: Sequence[Tensor | None],
) -> list[Tensor]:
    """Gradients of the wanted inputs, of given states, of the wanted parameters, sharing memory
    with nothing that was given: nor with the ``others``."""
    count, given_states = len(inputs), bool(states)
    streams = _or_zero(found.inputs, inputs, needs[:count]) + (found.states if states else [])
    weights = _or_zero(found.params, params, needs[count:])
    copied = trainer.copied.get(given_states)
    if trainer.engine.exact and copied is not None:
        for place in copied:
            weights[place] = fresh(weights[place])
        return [*apart(streams), *weights]
    given = [*inputs, *states, *params, *(d for d in others if d is not None)]
    gradients = own([*streams, *weights], given, found.sums)
    pairs = zip(gradients[len(streams) :], weights, strict=True)
    trainer.copied[given_states] = frozenset(
        k for k, (one, other) in enumerate(pairs) if one is not other
    )
    return gradients


def _or_zero(
    gradients: Sequence[Tensor | None], tensors: Tensors, needs: Sequence[bool]
) -> list[Tensor]:
    """The gradients of those tensors that need one, all of them tensors."""
    wanted = [tensor for tensor, need in zip(tensors, needs, strict=True) if need]
    return [
        tensor.new_zeros(tensor.shape) if d is None else d
        for d, tensor in zip(gradients, wanted, strict=True)
    ]
