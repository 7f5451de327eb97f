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

Tensors = Sequence[Tensor]
# Sizes of calls that are remembered.
_MOST_KNOWN = 64


class Repeats:
    """What ran a program's calls, and their guards, by their sizes."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[Callable[..., bool], Forward]] = {}

    def find(self, inputs: Tensors, states: Tensors, params: Tensors) -> Forward | None:
        """What ran a call of tensors like these, if one is remembered."""
        known = self._known.get((inputs[0].shape, len(states)))
        if known is None:
            return None
        fits, forward = known
        return forward if fits(*inputs, *states, *params) else None

    def remember(self, forward: Forward, inputs: Tensors, states: Tensors, params: Tensors) -> None:
        """A call that went through."""
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        tensors = (*inputs, *states, *params)
        guards: Any = TensorGuards
        known = guards(
            *tensors,
            dynamic_dims_sizes=[list(tensor.shape) for tensor in tensors],
            dynamic_dims_strides=[list(tensor.stride()) for tensor in tensors],
        )
        self._known[inputs[0].shape, len(states)] = known.check, forward
