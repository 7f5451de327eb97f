"""Runs a program in blocks of L time steps, and what is left of the sequence in steps.

The blocks run a program of their own, whose step is a whole block (compiler/forms/chunk.py).
A sequence is cut into two stretches: as many whole blocks as there are, from the first time
step on, and the rest.  Each starts from the states that the other leaves.  Where steps would
leave much for the backward pass, the rest becomes a block as well, with padding that changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from rnndsl.backends.errors_torch import BudgetTooSmall
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.backends.torch.program import SequenceProgram, kept_with_kernels
from rnndsl.backends.torch.runner import Runner
from rnndsl.backends.torch.stretches import BlockStretch, Stretch
from rnndsl.backends.torch.trainer import Forward
from rnndsl.backends.torch.variants import VALID, with_lengths
from rnndsl.compiler.forms.choose import CONVOLUTION, STEPS, Blocks
from rnndsl.compiler.forms.in_blocks import blocks_of, in_blocks
from rnndsl.compiler.ir import Type
from rnndsl.compiler.memory import MemoryPlan
from rnndsl.compiler.separate import Program, join

Tensors = Sequence[Tensor]
# Without gradients, this many time steps at once: what they make should stay in the cache.
_STEPS_AT_ONCE = 2048


def make_runner(program: SequenceProgram, twin: Runner | None) -> Runner:
    """The runner of a program: in blocks where that is asked for, or cheapest."""
    if isinstance(twin, ChunkedRunner):  # of the same graphs, so that it has the same blocks
        return ChunkedRunner(program, twin._form, twin)
    if twin is not None or program.form in (STEPS, CONVOLUTION):
        return Runner(program, twin)

    def choose() -> Blocks | None:
        graph = join(Program(program.prepare, program.step))
        # What TVM does not compile is slower in steps: then blocks pay all the more.
        return blocks_of(graph, program.form, "torch" if program.backend == "torch" else "tvm")

    found = kept_with_kernels(program.backend, "blocks", program.text, choose)
    return Runner(program) if found is None else ChunkedRunner(program, found)


class ChunkedRunner(Runner):
    """As its base, with as many blocks as there are.

    Blocks are compiled when a sequence first has one.  Cells that have no such form run as by
    the base.
    """

    def __init__(
        self, program: SequenceProgram, form: Blocks, twin: ChunkedRunner | None = None
    ) -> None:
        super().__init__(program, twin)
        self._rest: Runner = Runner(program, twin._rest if twin else None)
        self._form, self._chunked_twin = form, twin

    @cached_property
    def _blocks(self) -> BlockStretch | None:
        """No steps yet, to be taken in blocks; None for cells that have no such form."""
        twin = self._chunked_twin
        return self._as_of(twin._blocks) if twin else self._made(flags=False)

    @cached_property
    def _padded(self) -> BlockStretch | None:
        """The same in blocks whose steps have a flag, 0 for padding."""
        if VALID in self.program.inputs:
            return self._blocks
        twin = self._chunked_twin
        return self._as_of(twin._padded) if twin else self._made(flags=True)

    def _as_of(self, stretch: BlockStretch | None) -> BlockStretch | None:
        """A stretch of the twin, under the budget of this program."""
        if stretch is None:
            return None
        cells = replace(stretch.runner.program, memory_budget=self.program.memory_budget)
        return replace(stretch, runner=Runner(cells, stretch.runner))

    def _made(self, flags: bool) -> BlockStretch | None:
        program, length = self.program, self._form.length

        def cut() -> Program | None:
            graph = join(Program(program.prepare, program.step))
            return in_blocks(with_lengths(graph) if flags else graph, length)

        made_of = [program.text, length, flags]
        blocks = kept_with_kernels(program.backend, "chunks", made_of, cut)
        if blocks is None:
            return None
        cells = replace(
            program, prepare=blocks.prepare, step=blocks.step, form=STEPS, in_blocks=True
        )
        places = {name: k for k, name in enumerate(program.params)}
        return BlockStretch(Runner(cells), 0, 0, [places[name] for name in cells.params], length)

    def forward(self, like: Tensor) -> Forward:
        return self._rest.forward(like)

    @property
    def backend(self) -> str:
        return self._rest.backend

    # ------------------------------------------------------------------------- stretches

    def _stretches(self, steps: int, like: Tensor | None = None) -> list[Stretch]:
        """What to run, in the direction of time; ``like`` is an input of training."""
        whole = steps - steps % self._form.length
        pays = like is not None and self._takes_rest(steps, whole, like)
        if pays and self._padded is not None:
            return [replace(self._padded, stop=steps)]
        if not whole or self._blocks is None:
            return [self._in_steps(0, steps)]
        blocks = replace(self._blocks, stop=whole)
        if whole == steps:
            return [blocks]
        rest = self._in_steps(whole, steps)
        return [rest, blocks] if self.program.reverse else [blocks, rest]

    def _takes_rest(self, steps: int, whole: int, like: Tensor) -> bool:
        """Whether in training what is left of the sequence becomes a block."""
        if self.program.memory_budget is not None and whole:
            return whole < steps  # one plan for all
        return self._form.take_rest(steps, like.shape[1] * like.element_size())

    def _in_steps(self, start: int, stop: int) -> Stretch:
        return Stretch(self._rest, start, stop, range(len(self.program.params)))

    def parts(self, like: Tensor, trains: bool) -> list[tuple[SequenceProgram, int]]:
        if not (trains or self._form.without_gradients):
            return self._rest.parts(like, trains)
        found = self._stretches(len(like), like if trains else None)
        return [(stretch.runner.program, len(stretch.cut(like))) for stretch in found]

    def memory_plan(self, like: Tensor, needs: Sequence[bool]) -> MemoryPlan:
        steps, length = len(like), self._form.length
        stretches = self._stretches(steps, like)
        with _in_time_steps(steps):
            plans = [s.runner.memory_plan(s.cut(like), s.needs(needs)) for s in stretches]
        if len(plans) == 1:
            blocks = isinstance(stretches[0], BlockStretch)
            each = length if blocks else 1
            return replace(plans[0], steps=steps, block=plans[0].block * each)
        elements = sum(prod(kind.sizes) for kind in self._states_between(stretches))
        peak = elements * like.shape[1] * like.element_size() + sum(plan.peak for plan in plans)
        return MemoryPlan(steps, length, (), -(-steps // length), (), peak)

    # --------------------------------------------------------------------------- forward

    def run(self, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
        if not self._form.without_gradients:
            return self._rest.run(inputs, states, params)
        parts: list[tuple[Stretch, list[Tensor]]] = []
        count = len(self.program.outputs)
        for stretch in self._pieces(len(inputs[0])):
            given = stretch.given(params)
            results = stretch.runner.run(stretch.inputs(inputs), states, given)
            parts.append((stretch, results[:count]))
            states = results[count:]
        return [*self._joined(parts), *states]

    def remember(self, inputs: Tensors, states: Tensors, params: Tensors) -> None:
        if not self._form.without_gradients:
            super().remember(inputs, states, params)

    def remember_training(self, inputs: Tensors, states: Tensors, params: Tensors) -> None:
        """Nothing: its calls consist of several."""

    def _pieces(self, steps: int) -> list[Stretch]:
        """Stretches, long ones in several pieces."""
        found = []
        size = max(_STEPS_AT_ONCE // self._form.length, 1) * self._form.length
        for stretch in self._stretches(steps):
            cuts = [stretch]
            if isinstance(stretch, BlockStretch):
                starts = range(stretch.start, stretch.stop, size)
                cuts = [replace(stretch, start=s, stop=min(s + size, stretch.stop)) for s in starts]
            found += cuts[::-1] if self.program.reverse else cuts
        return found

    def _joined(self, parts: Sequence[tuple[Stretch, Sequence[Tensor]]]) -> list[Tensor]:
        """The whole streams from those of stretches."""
        ordered = sorted(parts, key=lambda part: part[0].start)
        columns = zip(*([s.uncut(t) for t in tensors] for s, tensors in ordered), strict=True)
        return [torch.cat(column) for column in columns]

    def run_saving(
        self, inputs: Tensors, states: Tensors, params: Tensors, needs: Sequence[bool]
    ) -> list[Tensor]:
        """Outputs, final states, what each stretch saved, and the states between two."""
        parts, kept, between = [], list[Tensor](), list[Tensor]()
        outputs, visible = len(self.program.outputs), self._visible
        stretches = self._stretches(len(inputs[0]), inputs[0])
        # Each begins with its own kernels when it runs: all are compiled side by side if those that
        # run later begin before.
        for stretch in stretches[1:]:
            stretch.runner.begin(inputs[0], stretch.needs(needs))
        for position, stretch in enumerate(stretches):
            given, flags = stretch.given(params), stretch.needs(needs)
            with _in_time_steps(len(inputs[0])):
                results = stretch.runner.run_saving(stretch.inputs(inputs), states, given, flags)
            parts.append((stretch, results[:outputs]))
            states = results[outputs:visible]
            kept += results[visible:]
            if position == 0 and len(stretches) > 1:
                between = [state.clone() for state in states]
        return [*self._joined(parts), *states, *kept, *between]

    def _states_between(self, stretches: Sequence[Stretch]) -> list[Type]:
        """The types of the states that are kept because there are two stretches."""
        return list(self.program.states.values()) if len(stretches) > 1 else []

    @property
    def _visible(self) -> int:
        return len(self.program.outputs) + len(self.program.states)

    def kept_shapes(self, inputs: Tensors, needs: Sequence[bool]) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        stretches = self._stretches(inputs[0].shape[0], inputs[0])
        for stretch in stretches:
            found += stretch.runner.kept_shapes(stretch.inputs(inputs), stretch.needs(needs))
        batch = inputs[0].shape[1]
        return found + [(batch, *kind.sizes) for kind in self._states_between(stretches)]

    # -------------------------------------------------------------------------- backward

    def run_backward(
        self,
        inputs: Tensors,
        states: Tensors,
        params: Tensors,
        needs: Sequence[bool],
        kept: Tensors,
        cotangents: Sequence[Tensor | None],
    ) -> list[Tensor]:
        count = len(self.program.outputs)
        stretches = self._stretches(len(inputs[0]), inputs[0])
        size = len(self._states_between(stretches))
        saved = self._shares(stretches, inputs, needs, kept[count : len(kept) - size])
        between = list(kept[len(kept) - size :])
        outputs, carried = kept[:count], list(cotangents[count:])
        totals: dict[int, Tensor] = {}  # gradients of parameters, by position
        d_inputs: list[tuple[Stretch, list[Tensor]]] = []
        d_states: list[Tensor] = []
        for position in reversed(range(len(stretches))):
            stretch = stretches[position]
            start = list(states) if position == 0 else between
            results = stretch.runner.run_backward(
                stretch.inputs(inputs),
                start,
                stretch.given(params),
                stretch.needs(needs),
                [*(stretch.cut(y) for y in outputs), *saved[position]],
                [*(None if d is None else stretch.cut(d) for d in cotangents[:count]), *carried],
            )
            wanted = sum(needs[: len(inputs)])
            d_inputs.append((stretch, results[:wanted]))
            d_states = results[wanted : wanted + len(start)]
            carried = list(d_states)
            self._add(totals, stretch, needs, results[wanted + len(start) :])
        flags = needs[len(inputs) :]
        d_params = [totals[k] for k, flag in enumerate(flags) if flag]
        return [*self._joined(d_inputs), *(d_states if states else []), *d_params]

    def _shares(
        self, stretches: Sequence[Stretch], inputs: Tensors, needs: Sequence[bool], kept: Tensors
    ) -> list[list[Tensor]]:
        """What each stretch saved; the last one all that is left."""
        found, start = [], 0
        for stretch in stretches[:-1]:
            xs = stretch.inputs(inputs)
            stop = start + len(stretch.runner.kept_shapes(xs, stretch.needs(needs)))
            found.append(list(kept[start:stop]))
            start = stop
        return [*found, list(kept[start:])]

    def _add(
        self,
        totals: dict[int, Tensor],
        stretch: Stretch,
        needs: Sequence[bool],
        gradients: Tensors,
    ) -> None:
        flags = list(needs[len(self.program.inputs) :])
        wanted = [k for k in stretch.order if flags[k]]
        for place, gradient in zip(wanted, gradients, strict=True):
            totals[place] = totals[place] + gradient if place in totals else gradient


@contextmanager
def _in_time_steps(steps: int) -> Iterator[None]:
    """Refusals of a memory budget name the steps of the sequence, not its blocks."""
    try:
        yield
    except LayerInputError as error:
        (problem,) = error.diagnostics
        if isinstance(problem, BudgetTooSmall):
            raise LayerInputError(replace(problem, time=steps)) from None
        raise
