"""Shared values that a forward pass leaves for its backward pass, which need not make them again."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.utils.weak import TensorWeakRef

Tensors = Sequence[Tensor]
_Key = tuple[int, tuple[tuple[int, int], ...]]


class HandedOn:
    """What the last forward pass left, until a backward pass takes it.

    The passes belong together if the first output is in the same place, which autograd holds in
    between, and the parameters are the same, in the same places, and have not been written to.
    Only what was made of them is held: they may go, and the graph that made them.
    """

    def __init__(self) -> None:
        self._left: tuple[_Key, list[TensorWeakRef], tuple[Tensor, ...]] | None = None

    def leave(self, output: Tensor, params: Tensors, values: tuple[Tensor, ...]) -> None:
        """By a forward pass: its first output, its parameters, and these with what it made of
        them."""
        self._left = None
        if len(values) > len(params) and not any(p.is_inference() for p in params):
            known = [TensorWeakRef(p) for p in params]
            self._left = _key(output, params), known, values[len(params) :]

    def take(self, output: Tensor, params: Tensors) -> tuple[Tensor, ...] | None:
        """By a backward pass: the values, or None if they are not those of its forward pass."""
        left, self._left = self._left, None
        if left is None or left[0] != _key(output, params):
            return None
        _, known, made = left
        same = all(ref() is p for ref, p in zip(known, params, strict=True))
        return (*params, *made) if same else None


def _key(output: Tensor, params: Tensors) -> _Key:
    return output.data_ptr(), tuple([(p.data_ptr(), p._version) for p in params])
