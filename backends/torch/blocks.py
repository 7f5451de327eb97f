"""Running a sequence block by block, with no more saved values than a memory plan allows.

Blocks are cut alike by every plan, and the sums over blocks are taken in one order, from the
last block to the first.  So all plans give equal gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from torch import Tensor

from rnndsl.backends.torch.derivative import Place, ProgramDerivative
from rnndsl.backends.torch.ownership import fresh, own
from rnndsl.backends.torch.program import SequenceProgram
from rnndsl.compiler.memory import MemoryPlan

Tensors = Sequence[Tensor]
Gradients = tuple[Tensors, Tensors, Tensors]  # of inputs, of states, sums
# A step plan on streams, states and parameters: (outputs, final states, sums).
Forward = Callable[
    [tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensors, ...]
]
# Back through a block: its inputs, the states before it, its outputs and saved streams, the
# cotangents of its outputs, those of the states after it by position, and what earlier calls
# summed up.
Backward = Callable[
    [Tensors, Tensors, Tensors, Sequence[Tensor | None], Tensors, Tensors], Gradients
]


@dataclass
class BlockRun:
    """One call of a program under a plan.

    ``inputs`` [T, B, *shape], ``start`` [B, *shape] before the first step, ``shared`` the
    step's parameters; ``forward`` is the compiled forward plan that also saves.  ``exact``
    says that it returns new memory, and computes a step with the same bits in a sequence of
    any length, and sums with the same bits in one call or in one call after the other: then
    passes that hold everything are one call each.
    """

    program: SequenceProgram
    derivative: ProgramDerivative
    plan: MemoryPlan
    forward: Forward
    inputs: Tensors
    start: tuple[Tensor, ...]
    shared: tuple[Tensor, ...]
    exact: bool = False

    @property
    def places(self) -> tuple[Place | None, ...]:
        return self.derivative.state_places

    @property
    def holds_all(self) -> bool:
        """Whether the forward pass keeps whole streams of all that it saves."""
        return self.plan.kind == "none"

    # ----------------------------------------------------------------------------- forward

    def run(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Outputs, final states, and what is kept for :meth:`back`: the saved streams, or the
        states at the plan's boundaries, then the saved streams of the blocks that it holds."""
        plan = self.plan
        if self.holds_all and (self.exact or plan.blocks == 1):
            return self._run_steps(slice(0, plan.steps), self.start)
        outputs: list[Tensor] = []
        boundaries: list[Tensor] = []
        held: list[Tensor] = []
        states: Tensors = self.start
        for block in range(plan.blocks):
            if block in plan.boundaries:
                boundaries += self._unheld(states)
            visible, states, saved = self._run_block(block, states)
            self._place(outputs, visible, block)
            del visible
            if self.holds_all:  # into whole streams, so that any plan may go back through them
                self._place(held, saved, block)
            elif block >= plan.blocks - plan.held:
                held += saved
            del saved
        return outputs, list(states), [*boundaries, *held]

    def _run_block(
        self, block: int, states: Tensors
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Outputs, states after the block, saved streams; the last two share no memory."""
        return self._run_steps(self._steps(block), states)

    def _run_steps(
        self, steps: slice, states: Tensors
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        inputs = tuple([x[steps] for x in self.inputs])
        results, finals, _ = self.forward(inputs, tuple(states), self.shared)
        count = len(self.program.outputs)
        visible = list(results[:count])
        saved = [results[position] for position in self.derivative.kept_results]
        if self.exact or self.plan.blocks == 1:
            return visible, list(finals), saved
        if not self.holds_all:  # what is held may keep nothing else alive
            saved = own(saved, [*inputs, *states, *self.shared])
        return visible, list(map(fresh, finals)), saved

    def _steps(self, block: int) -> slice:
        """Where a block lies in a stream."""
        first = block * self.plan.block
        stop = min(first + self.plan.block, self.plan.steps)
        if self.program.reverse:
            return slice(self.plan.steps - stop, self.plan.steps - first)
        return slice(first, stop)

    def _place(self, streams: list[Tensor], parts: Tensors, block: int) -> None:
        """Write a block's part of each stream; the first call makes the streams."""
        if self.plan.blocks == 1:
            streams += parts
            return
        if not streams:
            length = self.plan.steps
            streams += [part.new_empty((length, *part.shape[1:])) for part in parts]
        steps = self._steps(block)
        for stream, part in zip(streams, parts, strict=True):
            stream[steps].copy_(part)

    # ---------------------------------------------------------------------------- backward

    def back(
        self,
        kept: Tensors,
        cotangents: Sequence[Tensor | None],
        carried: Tensors,
        backward: Backward,
    ) -> Gradients:
        """Gradients of the inputs' streams, of the first states, and the sums over time.

        ``kept`` are the outputs and what :meth:`run` kept, ``cotangents`` those of the
        outputs, ``carried`` those of the final states.
        """
        count = len(self.program.outputs)
        outputs, rest = kept[:count], kept[count:]
        if self.holds_all and self.exact:
            return backward(self.inputs, self.start, kept, cotangents, carried, ())
        walk = _Walk(self, outputs, cotangents, carried, backward)
        if self.holds_all:
            for block in reversed(range(self.plan.blocks)):
                steps, states = self._steps(block), self._states(block, {}, outputs, rest)
                walk.back(block, states, [stream[steps] for stream in rest])
        else:
            self._go_back(walk, outputs, iter(rest))
        return walk.found()

    def _go_back(self, walk: _Walk, outputs: Tensors, rest: Iterator[Tensor]) -> None:
        """Back through the blocks that are held, then by the plan's moves."""
        plan, unheld = self.plan, self.places.count(None)
        made = {k: list(islice(rest, unheld)) for k in plan.boundaries}
        held = range(plan.blocks - plan.held, plan.blocks)
        saved = {k: list(islice(rest, len(self.derivative.kept))) for k in held}
        for block in reversed(held):
            walk.back(block, self._states(block, made, outputs), saved.pop(block))
        for move in plan.moves:
            states = self._states(move.first, made, outputs)
            for block in range(move.first, move.stop):
                if move.back and block > move.first:
                    made[block] = self._unheld(states)
                states, made_again = self._run_block(block, states)[1:]
                if move.back:
                    saved[block] = made_again
                del made_again
            if not move.back:
                made[move.stop] = self._unheld(states)
                continue
            del states
            for block in reversed(range(move.first, move.stop)):
                walk.back(block, self._states(block, made, outputs), saved.pop(block))
                if block not in plan.boundaries:
                    made.pop(block, None)

    def _unheld(self, states: Tensors) -> list[Tensor]:
        """The states that no stream holds."""
        return [s for s, place in zip(states, self.places, strict=True) if place is None]

    def _states(
        self, boundary: int, made: dict[int, list[Tensor]], outputs: Tensors, saved: Tensors = ()
    ) -> Tensors:
        """The states before a block, as the run before it left them.

        Those that no input or output holds were kept, or are in the saved streams.
        """
        if boundary == 0:
            return self.start
        groups = {"input": self.inputs, "output": outputs, "saved": saved}
        before, here = self._steps(boundary - 1), self._steps(boundary)
        last, first_time = before.stop - 1, here.start
        if self.program.reverse:
            last, first_time = before.start, here.stop - 1
        stored: Iterator[Tensor] = iter(made.get(boundary, ()))
        places = self.derivative.places if saved else {}
        found = []
        for name, place, first in zip(self.program.states, self.places, self.start, strict=True):
            after, ahead = place or places.get(f"next.{name}"), places.get(f"prev.{name}")
            if after is not None:
                found.append(fresh(groups[after.group][after.index][last]))
            elif ahead is not None:
                found.append(fresh(groups[ahead.group][ahead.index][first_time]))
            else:  # where nothing is saved, nothing reads the states that no stream holds
                found.append(next(stored, first))
        return found


class _Walk:
    """Goes back block by block, and gathers gradients."""

    def __init__(
        self,
        run: BlockRun,
        outputs: Tensors,
        cotangents: Sequence[Tensor | None],
        carried: Tensors,
        backward: Backward,
    ) -> None:
        self.run = run
        self.outputs = outputs
        self.cotangents = cotangents
        self.carried = carried
        self.backward = backward
        self.streams: list[Tensor] = []
        self.sums: list[Tensor] = []

    def back(self, block: int, states: Tensors, saved: Tensors) -> None:
        steps = self.run._steps(block)
        streams, self.carried, sums = self.backward(
            [x[steps] for x in self.run.inputs],
            states,
            [*(y[steps] for y in self.outputs), *saved],
            [None if d is None else d[steps] for d in self.cotangents],
            self.carried,
            self.sums if self.run.exact else (),
        )
        self.run._place(self.streams, streams, block)
        if self.run.exact:
            self.sums = list(sums)
            return
        if not self.sums:
            self.sums = own(sums, []) if self.run.plan.blocks > 1 else list(sums)
            return
        for total, part in zip(self.sums, sums, strict=True):
            total.add_(part)

    def found(self) -> Gradients:
        return self.streams, self.carried, self.sums
