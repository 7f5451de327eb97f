"""Calls like earlier ones: what was found out about those holds for these.

Looking at all tensors of a small cell takes longer than computing with them.  So a call that went
through leaves a guard, as torch.compile uses it: one look tells whether other tensors have the same
types, sizes, strides and dispatch keys, which tell transforms and autocast, and whether gradients
are wanted of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch._C._dynamo.guards import TensorGuards

from rnndsl.backends.torch.blocks import Backward, Gradients
from rnndsl.backends.torch.ownership import apart, fresh, lies_otherwise
from rnndsl.backends.torch.picking import pick
from rnndsl.backends.torch.trainer import Forward, Trainer, go_back, owned_gradients
from rnndsl.backends.torch.with_tvm import TvmStep

Tensors = Sequence[Tensor]
R = TypeVar("R")
# Sizes of calls that are remembered, and calls of equal sizes: of layers that share a program,
# with and without inference mode.
_MOST_KNOWN, _MOST_ALIKE = 64, 4
# Sizes of calls among which one counts as repeated.
_LAST_SEEN = 16


class Repeat:
    """A call of known sizes: outputs, then final states, from tensors that fit.

    What does not change between such calls is found once: each line here takes longer than a step
    of a small cell.  States that are ``led`` have an axis of one layer before the others.
    """

    def __init__(
        self, forward: Forward, like: Tensor, led: bool = False, order: Sequence[int] | None = None
    ) -> None:
        """``order`` are the places of the outputs that are wanted among the plan's, if not all."""
        self._engine, step, params = forward
        assert isinstance(step, TvmStep)
        self._kernel, self._led = step.kernel(like), led
        self._weights = pick(self._kernel.weights(params(range(len(self._engine.shared.names)))))
        self._steps, self._batch, *_ = like.shape
        self._shapes, _ = self._kernel.sizes(self._steps, self._batch)
        places = step.outputs(range(len(self._shapes)))
        self._outputs = pick(places if order is None else [places[k] for k in order])

    def __call__(self, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
        outputs, finals = self.run(inputs, states, self._engine.shared.values(params, inputs[0]))
        return apart([*outputs, *finals])

    def run(
        self, inputs: Tensors, states: Tensors, values: Tensors
    ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Outputs and final states, from shared values."""
        like = inputs[0]
        starts = states or self._engine.start(values, like, self._led)
        finals = [fresh(start) for start in starts]
        made = self._kernel.new_outputs(like, starts, self._shapes)
        arrays = [array.contiguous() for array in (*inputs, *self._weights(values))]
        self._kernel.launch((*arrays, *finals, *made), self._steps, self._batch, self._steps)
        return self._outputs(made), finals


class TrainingRepeat:
    """A call of known sizes of which gradients are wanted, there and back."""

    def __init__(self, trainer: Trainer, needs: Sequence[bool], block: int, like: Tensor) -> None:
        """``block`` are the steps that the backward kernel takes at a time."""
        self.needs = needs
        self._trainer, self._block = trainer, block
        self._count = len(trainer.program.outputs)
        order = [*range(self._count), *trainer.derivative.kept_results]
        forward = Forward(trainer.engine, trainer.forward, trainer.forward_params)
        self._forward = Repeat(forward, like, order=order)

    def run_saving(self, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
        """As :meth:`Runner.run_saving`."""
        values = self._trainer.engine.shared.values(params, inputs[0])
        made, finals = self._forward.run(inputs, states, values)
        results = apart([*made[: self._count], *finals, *made[self._count :]])
        self._trainer.handed_on.leave(results[0], params, values)
        return results

    def run_backward(
        self,
        inputs: Tensors,
        states: Tensors,
        params: Tensors,
        kept: Tensors,
        cotangents: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """As :meth:`Runner.run_backward`."""
        trainer, like = self._trainer, inputs[0]
        values = trainer.handed_on.take(kept[0], params)
        if values is None:
            values = trainer.engine.shared.values(params, like)
        start = tuple(states) or trainer.engine.start(values, like)

        def at_once(
            kept: Tensors, ends: Sequence[Tensor | None], carried: Tensors, back: Backward
        ) -> Gradients:
            return back(inputs, start, kept, ends, carried, ())

        found = go_back(trainer, at_once, self._block, like, values, kept, cotangents, bool(states))
        others = [*kept, *cotangents]
        return owned_gradients(trainer, found, self.needs, inputs, states, params, others)


class Repeats(Generic[R]):
    """What does calls like those that are remembered, and their guards, by their sizes."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], list[tuple[Callable[..., bool], R]]] = {}
        self._seen: deque[tuple[object, ...]] = deque(maxlen=_LAST_SEEN)

    def is_repeated(self, inputs: Tensors, states: Tensors) -> bool:
        """Whether sizes like these were among the last that were asked for: where each call has
        others, to remember them takes longer than it saves."""
        key = _key(inputs, states, False)
        if key in self._seen:
            return True
        self._seen.append(key)
        return False

    def find(self, inputs: Tensors, states: Tensors, params: Tensors, led: bool) -> R | None:
        """What does calls of tensors like these, if there is something."""
        for fits, repeat in self._known.get(_key(inputs, states, led), ()):
            if fits(*inputs, *states, *params):
                return repeat
        return None

    def remember(
        self, make: Callable[[bool], R], inputs: Tensors, states: Tensors, params: Tensors
    ) -> None:
        """A call that TVM's kernels went through, and what to ``make`` for others like it: for
        states as they are and for led ones."""
        tensors = [*inputs, *states, *params]
        # A guard lets no tensor through twice, and a kernel would read what lies in memory.
        if len(set(map(id, tensors))) < len(tensors) or any(map(lies_otherwise, tensors)):
            return
        if len(self._known) >= 2 * _MOST_KNOWN:  # with and without led states
            self._known.clear()
        for led in (False, True):
            given = [state.unsqueeze(0) for state in states] if led else states
            if self.find(inputs, given, params, led) is None:
                found = _guard([*inputs, *given, *params]), make(led)
                key = _key(inputs, states, led)
                self._known[key] = [found, *self._known.get(key, ())][:_MOST_ALIKE]


def _key(inputs: Tensors, states: Tensors, led: bool) -> tuple[object, ...]:
    return inputs[0].shape, len(inputs), len(states), led


def _guard(tensors: list[Tensor]) -> Callable[..., bool]:
    """Whether other tensors are like these."""
    guards: Any = TensorGuards
    found = guards(
        *tensors,
        dynamic_dims_sizes=[list(tensor.shape) for tensor in tensors],
        dynamic_dims_strides=[list(tensor.stride()) for tensor in tensors],
    )
    check: Callable[..., bool] = found.check
    return check
