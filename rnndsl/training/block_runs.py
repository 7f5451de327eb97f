"""The blocks of a long sequence: run forward, held as far as a plan says, and gone back through."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from rnndsl.backends.torch.memory import affordable_plan
from rnndsl.compiler.memory import Costs, MemoryPlan
from rnndsl.training.states import State, detach_state, map_state, state_tensors

# ``part(state, *streams)`` of one block [L, B, *shape]: its share of the loss, and the state after
# it.  The loss may be of any shape, the same for all blocks; shares are added.
Part: TypeAlias = "Callable[..., tuple[Tensor, State]]"
Gradients = Sequence[Tensor | None]

_UNIT, _LONGEST, _MOST_BLOCKS = 16, 64, 1024


@dataclass(frozen=True)
class _Done:
    """A block that has run: the state it began with, its loss, and the state after it, with
    the graph between them."""

    before: State
    loss: Tensor
    after: State


class Blocks:
    """The blocks of one sequence: run forward, held as far as the plan says, and gone back."""

    def __init__(
        self,
        part: Part,
        streams: Sequence[Tensor],
        wanted: Sequence[Tensor],
        generators: Sequence[torch.Generator],
        budget: int | None,
    ) -> None:
        self.part, self.streams, self.wanted, self.budget = part, streams, wanted, budget
        self.device = streams[0].device
        self.generators = [torch.default_generator, *generators]
        if self.device.type == "cuda":
            self.generators.append(torch.cuda.default_generators[self.device.index or 0])
        kind = self.device.type
        self.autocast = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        self.steps = streams[0].shape[0]
        self.length = block_length(self.steps)
        self.count = -(-self.steps // self.length)
        self.drawn: list[list[Tensor]] = []  # before each block, the generators' states
        self.plan: MemoryPlan | None = None
        self.made: dict[int, State] = {}  # states by boundary; boundary k lies before block k
        self.held: dict[int, _Done] = {}
        self.after: State = None

    # ----------------------------------------------------------------------------- forward

    def forward_only(self, state: State) -> tuple[Tensor, State]:
        """The loss and the last state, where nobody wants a gradient."""
        total: Tensor | None = None
        for block in range(self.count):
            loss, state = self._called(block, state)
            total = loss if total is None else total + loss
        assert total is not None
        return total, state

    def forward(self, state: State) -> Tensor:
        """The loss; what the plan holds, and the last state, stay here."""
        total: Tensor | None = None
        self.made[0] = state = detach_state(state)
        for block in range(self.count):
            if block == 0:
                given = [*self.wanted, *self.streams, *state_tensors(state)]
                size, done = _held_bytes(lambda: self._run(0, self.made[0]), given)
                self.plan = plan = self._planned(size, done.after)
                places = {boundary: k for k, boundary in enumerate(plan.boundaries)}
                room = _room(done.after, len(places))
            else:
                done = self._run(block, state)
            if block >= plan.blocks - plan.held:
                self.held[block] = done
            total = done.loss.detach() if total is None else total + done.loss.detach()
            state = _owned(done.after)
            del done
            if block + 1 in places:
                self.made[block + 1] = _stored(state, room, places[block + 1])
        self.after = state
        assert total is not None
        return total

    def _planned(self, size: int, state: State) -> MemoryPlan:
        """The plan, from what autograd holds of the first block."""
        state_size = sum(t.numel() * t.element_size() for t in state_tensors(state))
        costs = Costs(-(-size // min(self.length, self.steps)), max(state_size, 1))
        batch = self.streams[0].shape[1]
        return affordable_plan(costs, self.steps, batch, self.budget, self.length)

    def _run(self, block: int, before: State) -> _Done:
        """A block with its graph, from a state that is cut off from what came before."""
        leaf = map_state(lambda tensor: tensor.detach().requires_grad_(), before)
        with torch.enable_grad():
            loss, after = self._called(block, leaf)
        return _Done(leaf, loss, after)

    def _called(self, block: int, state: State) -> tuple[Tensor, State]:
        """A block, with the random numbers that it drew when it first ran."""
        if block < len(self.drawn):
            for generator, numbers in zip(self.generators, self.drawn[block], strict=True):
                generator.set_state(numbers)
        else:
            self.drawn.append(self._states())
        steps = slice(block * self.length, (block + 1) * self.length)
        enabled, dtype = self.autocast
        # A cast that the cache shared between blocks would belong to the first one's graph.
        with torch.autocast(self.device.type, dtype, enabled, cache_enabled=False):
            return self.part(state, *(stream[steps] for stream in self.streams))

    def _states(self) -> list[Tensor]:
        """The generators' states; the same tensors again while nothing was drawn."""
        now = [generator.get_state() for generator in self.generators]
        if self.drawn and all(map(torch.equal, now, self.drawn[-1])):
            return self.drawn[-1]
        return now

    # ---------------------------------------------------------------------------- backward

    def back(self, d_loss: Tensor | None, d_state: Gradients) -> list[Tensor | None]:
        """Gradients of the first state's tensors, then of the parameters."""
        if self.plan is None:
            raise RuntimeError("a blockwise loss goes backward once")
        plan, self.plan = self.plan, None
        walk = _Walk(self.wanted, d_loss, d_state)
        with self._drawing_apart():
            for block in reversed(range(plan.blocks - plan.held, plan.blocks)):
                walk.back(self.held.pop(block))
            for move in plan.moves:
                state, done = self.made[move.first], []
                for block in range(move.first, move.stop):
                    found = self._run(block, state)
                    state = _owned(found.after)
                    if move.back:
                        done.append(found)
                    del found
                if not move.back:
                    self.made[move.stop] = state
                    continue
                while done:
                    walk.back(done.pop())
                if move.first not in plan.boundaries:
                    self.made.pop(move.first)
        return [*walk.carried, *walk.sums]

    @contextmanager
    def _drawing_apart(self) -> Iterator[None]:
        """Leaves the generators as they were."""
        before = [generator.get_state() for generator in self.generators]
        try:
            yield
        finally:
            for generator, state in zip(self.generators, before, strict=True):
                generator.set_state(state)


class _Walk:
    """Goes back through blocks, the last one first, and adds up gradients."""

    def __init__(self, wanted: Sequence[Tensor], d_loss: Tensor | None, carried: Gradients) -> None:
        self.wanted, self.d_loss, self.carried = wanted, d_loss, carried
        self.sums: list[Tensor | None] = [None] * len(wanted)

    def back(self, done: _Done) -> None:
        results = [done.loss, *state_tensors(done.after)]
        given = [
            (result, cotangent)
            for result, cotangent in zip(results, [self.d_loss, *self.carried], strict=True)
            if cotangent is not None and result.requires_grad
        ]
        before = list(state_tensors(done.before))
        if not given:
            self.carried = [None] * len(before)
            return
        outputs, cotangents = zip(*given, strict=True)
        leaves = [*before, *self.wanted]
        found = torch.autograd.grad(outputs, leaves, cotangents, allow_unused=True)
        self.carried = found[: len(before)]
        for index, part in enumerate(found[len(before) :]):
            if part is not None:
                total = self.sums[index]
                self.sums[index] = part.clone() if total is None else total.add_(part)


def block_length(steps: int) -> int:
    """Steps of a block, for a sequence of so many: about the square root of T from 16 to 64;
    more where there would be too many blocks."""
    wanted = max(min(math.isqrt(steps - 1) + 1, _LONGEST), -(-steps // _MOST_BLOCKS))
    return -(-wanted // _UNIT) * _UNIT


def _held_bytes(run: Callable[[], _Done], given: Iterable[Tensor]) -> tuple[int, _Done]:
    """What autograd holds of a run besides what was given, in bytes."""
    shared = {tensor.untyped_storage().data_ptr() for tensor in given}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in shared:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        done = run()
    return sum(found.values()), done


def _owned(state: State) -> State:
    """A copy that keeps nothing else alive."""
    return map_state(lambda tensor: tensor.detach().clone(), state)


def _room(state: State, places: int) -> State:
    """Memory for so many states."""
    return map_state(lambda t: t.detach().new_empty((places, *t.shape)), state)


def _stored(state: State, room: State, place: int) -> State:
    """A copy in a place of ``room``.  States that had memory each of their own would lie
    scattered between blocks, and large pieces would find no room there any more."""
    slots = [tensor[place] for tensor in state_tensors(room)]
    for slot, tensor in zip(slots, state_tensors(state), strict=True):
        slot.copy_(tensor)
    return filled(state, slots)


def filled(state: State, tensors: Iterable[Tensor]) -> State:
    """A state of the same form, of other tensors."""
    given = iter(tensors)
    return map_state(lambda _: next(given), state)
