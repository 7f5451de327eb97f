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

from rnndsl.backends.torch.trainer import Forward
from rnndsl.backends.torch.with_tvm import TvmStep

Tensors = Sequence[Tensor]
# Sizes of calls that are remembered.
_MOST_KNOWN = 64


class Repeat:
    """A call without gradients by a kernel, for tensors that fit.

    ``fits(*inputs, *states, *params)`` tells whether they do.
    """

    def __init__(self, forward: Forward, step: TvmStep, tensors: Tensors) -> None:
        self._engine, self._params = forward.engine, forward.params
        self._kernel, self._outputs = step.kernel(tensors[0]), step.outputs
        sizes = [list(tensor.shape) for tensor in tensors]
        strides = [list(tensor.stride()) for tensor in tensors]
        guards: Any = TensorGuards
        known = guards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides)
        self.fits: Callable[..., bool] = known.check

    def __call__(self, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
        """Outputs [T, B, *shape], then final states [B, *shape]."""
        engine, like = self._engine, inputs[0]
        values = engine.shared.values(params, like)
        starts = states or engine.start(values, like)
        arrays = [x.contiguous() for x in inputs]
        arrays += self._kernel.weights(self._params(values))
        outputs, finals, _ = self._kernel.run(arrays, starts)
        return [*self._outputs(outputs), *finals]


class Repeats:
    """The calls of a program that are remembered, by their sizes."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Repeat] = {}

    def find(self, inputs: Tensors, states: Tensors, params: Tensors) -> Repeat | None:
        """A call of tensors like these."""
        found = self._known.get((inputs[0].shape, len(states)))
        return found if found is not None and found.fits(*inputs, *states, *params) else None

    def remember(self, forward: Forward, inputs: Tensors, states: Tensors, params: Tensors) -> None:
        """A call that went through, if it was one of a kernel that took the parameters as they are,
        and made a tensor for each output."""
        step = forward.step
        if not isinstance(step, TvmStep) or not step.distinct:
            return
        values = forward.engine.shared.values(params, inputs[0])
        if step.kernel(inputs[0]).takes(inputs, forward.params(values)):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            repeat = Repeat(forward, step, [*inputs, *states, *params])
            self._known[inputs[0].shape, len(states)] = repeat
