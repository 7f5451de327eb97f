"""Runs a program in blocks of L time steps, and what is left of the sequence in steps.

The blocks run a program of their own, whose step is a whole block (compiler/forms/chunk.py).
A sequence is cut into two stretches: as many whole blocks as there are, from the first time
step on, and the rest.  Each starts from the states that the other leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from rnndsl.backends.torch.program import SequenceProgram, kept_with_kernels
from rnndsl.backends.torch.runner import Runner
from rnndsl.compiler.forms.choose import CONVOLUTION, STEPS, Blocks, blocks_for
from rnndsl.compiler.forms.chunk import NotChunkedError, chunk, matrix_states
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.separate import Program, join, separate

Tensors = Sequence[Tensor]
# Without gradients, this many time steps at once: what they make should stay in the cache.
_STEPS_AT_ONCE = 2048


def make_runner(program: SequenceProgram, twin: Runner | None) -> Runner:
    """The runner of a program: in blocks where that is asked for, or cheapest."""
    if program.form in (STEPS, CONVOLUTION) or program.memory_budget is not None:
        return Runner(program, twin)

    def choose() -> Blocks | None:
        graph = join(Program(program.prepare, program.step))
        # What TVM does not compile is slower in steps: then blocks pay all the more.
        engine = "torch" if program.backend == "torch" else "tvm"
        return blocks_for(graph, matrix_states(graph), program.form, engine)

    found = kept_with_kernels(program.backend, "blocks", program.text, choose)
    return Runner(program, twin) if found is None else ChunkedRunner(program, found)


@dataclass(frozen=True)
class _Stretch:
    """A part of the time axis and who runs it; ``fold`` and ``unfold`` are for its streams."""

    runner: Runner
    start: int
    stop: int
    fold: Callable[[Tensor], Tensor]
    unfold: Callable[[Tensor], Tensor]

    def cut(self, stream: Tensor) -> Tensor:
        return self.fold(stream[self.start : self.stop])


def _same(stream: Tensor) -> Tensor:
    return stream


class ChunkedRunner(Runner):
    """As its base, with as many blocks as there are.

    Blocks are compiled when a sequence first has one.  Cells that have no such form run as by
    the base.
    """

    def __init__(self, program: SequenceProgram, form: Blocks) -> None:
        super().__init__(program)
        self._rest = Runner(program)
        self._length, self._always = form.length, form.without_gradients

    @cached_property
    def _blocks(self) -> Runner | None:
        program = self.program

        def cut() -> Program | None:
            try:
                made = chunk(join(Program(program.prepare, program.step)), self._length)
            except NotChunkedError:
                return None
            return separate(run_pipeline(made, PIPELINES["default"]))

        made_of = [program.text, self._length]
        blocks = kept_with_kernels(program.backend, "chunks", made_of, cut)
        if blocks is None:
            return None
        return Runner(replace(program, prepare=blocks.prepare, step=blocks.step, form=STEPS))

    @cached_property
    def _order(self) -> list[int]:
        """For each parameter of the blocks its place among the program's."""
        assert self._blocks is not None
        places = {name: k for k, name in enumerate(self.program.params)}
        return [places[name] for name in self._blocks.program.params]

    @property
    def step(self) -> Callable[..., tuple[Tensors, ...]]:
        return self._rest.step

    @property
    def backend(self) -> str:
        return self._rest.backend

    # ------------------------------------------------------------------------- stretches

    def _fold(self, stream: Tensor) -> Tensor:
        """[n * L, B, *shape] as [n, B, L, *shape]; within a block, in the direction of time."""
        blocks = stream.view(-1, self._length, *stream.shape[1:])
        if self.program.reverse:
            blocks = blocks.flip(1)
        return blocks.transpose(1, 2)

    def _unfold(self, blocks: Tensor) -> Tensor:
        stream = blocks.transpose(1, 2)
        if self.program.reverse:
            stream = stream.flip(1)
        return stream.flatten(0, 1)

    def _stretches(self, steps: int) -> list[_Stretch]:
        """What to run, in the direction of time."""
        whole = steps - steps % self._length
        if not whole or self._blocks is None:
            return [_Stretch(self._rest, 0, steps, _same, _same)]
        blocks = _Stretch(self._blocks, 0, whole, self._fold, self._unfold)
        if whole == steps:
            return [blocks]
        rest = _Stretch(self._rest, whole, steps, _same, _same)
        return [rest, blocks] if self.program.reverse else [blocks, rest]

    def _given(self, stretch: _Stretch, params: Tensors) -> list[Tensor]:
        if stretch.runner is self._rest:
            return list(params)
        return [params[k] for k in self._order]

    def _needs(self, stretch: _Stretch, needs: Sequence[bool]) -> list[bool]:
        count = len(self.program.inputs)
        flags = needs[count:]
        in_blocks = stretch.runner is self._blocks
        return [*needs[:count], *([flags[k] for k in self._order] if in_blocks else flags)]

    # --------------------------------------------------------------------------- forward

    def run(self, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
        if not self._always:
            return self._rest.run(inputs, states, params)
        parts: list[tuple[_Stretch, list[Tensor]]] = []
        count = len(self.program.outputs)
        for stretch in self._pieces(len(inputs[0])):
            given = self._given(stretch, params)
            results = stretch.runner.run([stretch.cut(x) for x in inputs], states, given)
            parts.append((stretch, results[:count]))
            states = results[count:]
        return [*self._joined(parts), *states]

    def _pieces(self, steps: int) -> list[_Stretch]:
        """Stretches, long ones in several pieces."""
        found = []
        size = max(_STEPS_AT_ONCE // self._length, 1) * self._length
        for stretch in self._stretches(steps):
            cuts = [stretch]
            if stretch.runner is self._blocks:
                starts = range(stretch.start, stretch.stop, size)
                cuts = [replace(stretch, start=s, stop=min(s + size, stretch.stop)) for s in starts]
            found += cuts[::-1] if self.program.reverse else cuts
        return found

    def _joined(self, parts: Sequence[tuple[_Stretch, Sequence[Tensor]]]) -> list[Tensor]:
        """The whole streams from those of stretches."""
        ordered = sorted(parts, key=lambda part: part[0].start)
        columns = zip(*([s.unfold(t) for t in tensors] for s, tensors in ordered), strict=True)
        return [torch.cat(column) for column in columns]

    def run_saving(
        self, inputs: Tensors, states: Tensors, params: Tensors, needs: Sequence[bool]
    ) -> list[Tensor]:
        """Outputs, final states, what each stretch saved, and the states between the two."""
        parts, kept, between = [], list[Tensor](), list[Tensor]()
        outputs, visible = len(self.program.outputs), self._visible
        stretches = self._stretches(len(inputs[0]))
        for position, stretch in enumerate(stretches):
            xs = [stretch.cut(x) for x in inputs]
            flags = self._needs(stretch, needs)
            given = self._given(stretch, params)
            results = stretch.runner.run_saving(xs, states, given, flags)
            parts.append((stretch, results[:outputs]))
            states = results[outputs:visible]
            kept += results[visible:]
            if position == 0:
                between = [state.clone() for state in states]
        return [*self._joined(parts), *states, *kept, *between]

    @property
    def _visible(self) -> int:
        return len(self.program.outputs) + len(self.program.states)

    def kept_shapes(self, inputs: Tensors, needs: Sequence[bool]) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for stretch in self._stretches(inputs[0].shape[0]):
            xs = [stretch.cut(x) for x in inputs]
            found += stretch.runner.kept_shapes(xs, self._needs(stretch, needs))
        batch = inputs[0].shape[1]
        return found + [(batch, *kind.sizes) for kind in self.program.states.values()]

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
        count, size = len(self.program.outputs), len(self.program.states)
        stretches = self._stretches(len(inputs[0]))
        saved = self._shares(stretches, inputs, needs, kept[count:])
        between = list(kept[len(kept) - size :])
        outputs, carried = kept[:count], list(cotangents[count:])
        totals: dict[int, Tensor] = {}  # gradients of parameters, by position
        d_inputs: list[tuple[_Stretch, list[Tensor]]] = []
        d_states: list[Tensor] = []
        for position in reversed(range(len(stretches))):
            stretch = stretches[position]
            start = list(states) if position == 0 else between
            results = stretch.runner.run_backward(
                [stretch.cut(x) for x in inputs],
                start,
                self._given(stretch, params),
                self._needs(stretch, needs),
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
        self, stretches: Sequence[_Stretch], inputs: Tensors, needs: Sequence[bool], kept: Tensors
    ) -> list[list[Tensor]]:
        """What each stretch saved."""
        found, start = [], 0
        for stretch in stretches:
            xs = [stretch.cut(x) for x in inputs]
            stop = start + len(stretch.runner.kept_shapes(xs, self._needs(stretch, needs)))
            found.append(list(kept[start:stop]))
            start = stop
        return found

    def _add(
        self,
        totals: dict[int, Tensor],
        stretch: _Stretch,
        needs: Sequence[bool],
        gradients: Tensors,
    ) -> None:
        flags = list(needs[len(self.program.inputs) :])
        order = list(range(len(flags))) if stretch.runner is self._rest else self._order
        wanted = [k for k in order if flags[k]]
        for place, gradient in zip(wanted, gradients, strict=True):
            totals[place] = totals[place] + gradient if place in totals else gradient
