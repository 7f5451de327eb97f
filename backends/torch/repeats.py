"""Calls like earlier ones: what was found out about those holds for these.

Without gradients, looking at all tensors of a small cell takes longer than computing with them.
So a call that went through leaves a guard, as torch.compile uses it: one look tells whether other
tensors have the same types, sizes, strides and dispatch keys, which tell transforms and autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch._C._dynamo.guards import TensorGuards

from rnndsl.backends.torch.ownership import apart, fresh
from rnndsl.backends.torch.picking import pick
from rnndsl.backends.torch.trainer import Forward
from rnndsl.backends.torch.with_tvm import TvmStep

Tensors = Sequence[Tensor]
# Sizes of calls that are remembered, and calls of equal sizes: of layers that share a program,
# with and without inference mode.
_MOST_KNOWN, _MOST_ALIKE = 64, 4


class Repeat:
    """A call of known sizes: outputs, then final states, from tensors that fit.

    What does not change between such calls is found once: each line here takes longer than a step
    of a small cell.  States that are ``led`` have an axis of one layer before the others.
    """

    def __init__(self, forward: Forward, like: Tensor, led: bool) -> None:
        self._engine, step, params = forward
        assert isinstance(step, TvmStep)
        self._kernel, self._outputs, self._led = step.kernel(like), step.outputs, led
        places = range(len(self._engine.shared.names))
        self._weights = pick(self._kernel.weights(params(places)))
        self._steps, self._batch, *_ = like.shape
        self._shapes, _ = self._kernel.sizes(self._steps, self._batch)

    def __call__(self, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
        like, engine = inputs[0], self._engine
        values = engine.shared.values(params, like)
        starts = states or engine.start(values, like, self._led)
        finals = [fresh(start) for start in starts]
        made = [like.new_empty(shape) for shape in self._shapes]
        arrays = [array.contiguous() for array in (*inputs, *self._weights(values))]
        self._kernel.launch((*arrays, *finals, *made), self._steps, self._batch, self._steps)
        return apart([*self._outputs(made), *finals])


class Repeats:
    """The calls of a program that are remembered, and their guards, by their sizes."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], list[tuple[Callable[..., bool], Repeat]]] = {}

    def find(self, inputs: Tensors, states: Tensors, params: Tensors, led: bool) -> Repeat | None:
        """A call of tensors like these, if one is remembered."""
        for fits, repeat in self._known.get(_key(inputs, states, led), ()):
            if fits(*inputs, *states, *params):
                return repeat
        return None

    def remember(self, forward: Forward, inputs: Tensors, states: Tensors, params: Tensors) -> None:
        """A call that TVM's kernel went through, for states as they are and for led ones."""
        tensors = [*inputs, *states, *params]
        # A guard lets no tensor through twice, and a kernel would read a negated one as it lies.
        if len(set(map(id, tensors))) < len(tensors) or any(t.is_neg() for t in tensors):
            return
        if len(self._known) >= 2 * _MOST_KNOWN:
            self._known.clear()
        for led in (False, True):
            given = [state.unsqueeze(0) for state in states] if led else states
            found = _guard([*inputs, *given, *params]), Repeat(forward, inputs[0], led)
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
