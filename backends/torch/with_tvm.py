"""Plans compiled by the TVM backend, called on torch tensors that lie in main memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from rnndsl.backends.torch.by_dtype import ByDtype
from rnndsl.backends.torch.delayed import LEAST, stream_beside
from rnndsl.backends.torch.freed_memory import keep_freed_memory
from rnndsl.backends.torch.ownership import as_it_lies, fresh
from rnndsl.backends.torch.picking import Pick, pick
from rnndsl.backends.torch.refusing import refuse_others
from rnndsl.backends.torch.scratch import scratch_of
from rnndsl.backends.tvm.signature import Signature
from rnndsl.backends.tvm.worker import Worker
from rnndsl.compiler.ir import LeafRole, Result, ResultRole
from rnndsl.compiler.plan import Plan

Tensors = tuple[Tensor, ...]
# Lengths and batches whose sizes are remembered.
_MOST_SIZES = 256


def compile_plan(plan: Plan) -> TvmStep:
    """A function like the generated one (see emit.py); a kernel per dtype, made on first use.

    Tensors and kernels share memory: nothing is copied but what must be contiguous.  Outputs
    of one value are one tensor.  Parameters come as in ``plan.parts``.  Plans with sums take the
    sequence in blocks of ``block`` steps (0: all at once), and add to ``sums`` where these are
    given.
    """
    from rnndsl.backends.tvm.runtime import begin_worker

    keep_freed_memory()
    slim, places = _with_distinct_outputs(plan)
    params = list(plan.parts)
    beside = _beside_states(slim, plan)

    def begin(dtype: str) -> Callable[[], Kernel]:
        begun = begin_worker(slim, dtype)
        return lambda: Kernel(*begun(), params, beside, plan.reverse)

    return TvmStep(ByDtype(begin), pick(places))


class TvmStep(NamedTuple):
    """A compiled plan: its kernel for tensors like a given one, and the plan's outputs from the
    kernel's."""

    kernel: ByDtype[Kernel]
    outputs: Pick

    def __call__(
        self, xs: Tensors, starts: Tensors, weights: Tensors, block: int = 0, sums: Tensors = ()
    ) -> tuple[Tensors, ...]:
        found, finals, totals = self.kernel(xs[0])(xs, starts, weights, block, sums)
        return self.outputs(found), finals, totals


def _with_distinct_outputs(plan: Plan) -> tuple[Plan, list[int]]:
    """The plan with one output for each value, and which of these each of its outputs is."""
    kept: dict[int, Result] = {}
    results = plan.graph.results_of(ResultRole.OUTPUT)
    for result in results:
        kept.setdefault(result.value, result)
    order = {value: place for place, value in enumerate(kept)}
    others = [r for r in plan.graph.results if r.role is not ResultRole.OUTPUT]
    slim = replace(plan.graph, results=(*kept.values(), *others))
    return replace(plan, graph=slim), [order[result.value] for result in results]


def _beside_states(slim: Plan, plan: Plan) -> dict[int, int]:
    """Outputs that a backward pass reads one step later, with the state that it reads first.

    These are ``next.<state>`` (see differentiate), under whichever name a plan gives them first.
    """
    nexts = [r for r in plan.graph.results if r.name.startswith("next.")]
    late = {r.value: r.name.removeprefix("next.") for r in nexts}
    states = [leaf.name for leaf in plan.graph.leaves_of(LeafRole.STATE)]
    return {
        place: states.index(late[result.value])
        for place, result in enumerate(slim.graph.results_of(ResultRole.OUTPUT))
        if result.value in late
    }


class Kernel:
    """A compiled plan as a function of tensors, on as many threads as PyTorch uses.

    ``params`` are those that it is given, by name.  The outputs that ``beside`` names lie beside
    a state in memory, see delayed.py.
    """

    def __init__(
        self,
        signature: Signature,
        worker: Worker,
        params: list[str],
        beside: dict[int, int],
        reverse: bool,
    ) -> None:
        self._worker, self._workspace = worker, signature.workspace
        self._beside, self._reverse = beside, reverse
        self._totals = [stream.shape for stream in signature.totals]
        self._names = [
            *(f"stream `{stream.name}`" for stream in signature.inputs),
            *(f"parameter `{weight.source}`" for weight in signature.weights),
            *(f"state `{state.name}`" for state in signature.states),
        ]
        self._scratch = scratch_of(signature.dtype)
        self.weights = pick([params.index(weight.source) for weight in signature.weights])
        # Shapes of the outputs and of what is given, for T and B.  Not a method of its own: a kernel
        # that is dropped frees its memory at once.
        self.sizes = lru_cache(maxsize=_MOST_SIZES)(partial(_sizes, signature))

    def __call__(
        self, xs: Tensors, starts: Tensors, given: Tensors, block: int, gathered: Tensors
    ) -> tuple[Tensors, ...]:
        dtype, (steps, batch, *_) = xs[0].dtype, xs[0].shape
        arrays = [as_it_lies(x) for x in (*xs, *self.weights(given))]
        shapes, expected = self.sizes(steps, batch)
        refuse_others((*arrays, *starts), expected, dtype, self._names)
        made = self.new_outputs(xs[0], starts, shapes)
        # The kernel writes the final states over the first ones.
        states = tuple([fresh(start) for start in starts])
        sums = gathered or tuple([xs[0].new_empty(shape) for shape in self._totals])
        # Blocks do the same work in parts of their own, in whichever call they come.
        length = block or steps
        blocks = (length, int(bool(gathered))) if self._totals else ()
        self.launch((*arrays, *states, *made, *sums), steps, batch, length, blocks)
        return made, states, sums

    def launch(
        self,
        arrays: Tensors,
        steps: int,
        batch: int,
        length: int,
        blocks: tuple[int, ...] = (),
    ) -> None:
        """Run on arrays that fit, in the signature's order: T ``steps``, ``length`` of them at a
        time.  ``blocks`` are the numbers that only kernels with totals take."""
        parts, seconds = self._worker.parts(torch.get_num_threads(), length, batch)
        work = self._scratch.take(self._workspace.elements(min(length, steps), batch, parts))
        numbers = [array.data_ptr() for array in (*arrays, work)]
        self._worker([*numbers, steps, batch, work.numel(), *blocks, parts], parts, seconds)
        self._scratch.give_back(work)

    def new_outputs(
        self, like: Tensor, starts: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]
    ) -> Tensors:
        """Memory for outputs of these shapes."""
        if not self._beside:
            return tuple([like.new_empty(shape) for shape in shapes])
        return tuple(
            [self._new_output(like, starts, place, shape) for place, shape in enumerate(shapes)]
        )

    def _new_output(
        self, like: Tensor, starts: Sequence[Tensor], place: int, shape: tuple[int, ...]
    ) -> Tensor:
        if place in self._beside and prod(shape) >= LEAST:
            return stream_beside(starts[self._beside[place]], shape, self._reverse)
        return like.new_empty(shape)


def _sizes(
    signature: Signature, steps: int, batch: int
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The shapes of the outputs, and of the arrays that are given."""
    streams = [(steps, batch, *stream.shape) for stream in signature.inputs]
    states = [(batch, *state.shape) for state in signature.states]
    given = [*streams, *(weight.shape for weight in signature.weights), *states]
    return [(steps, batch, *stream.shape) for stream in signature.outputs], given
