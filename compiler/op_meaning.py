"""NumPy meaning of the ops: the definition of what a cell computes.

Every function takes arrays whose last axes are the example's own and whose axes before
those (batch, time) are as many as the caller likes; leading axes broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnndsl.compiler.ir import AttrValue, Type
from rnndsl.compiler.op_types import dims_attr, int_attr, ints_attr, parse_spec

Array = NDArray[Any]
Meaning = Callable[[Sequence[Array], Mapping[str, AttrValue], Sequence[Type], Type], Array]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def unary(function: Callable[[Array], Array]) -> Meaning:
    """An elementwise op of one operand."""
    return lambda arrays, attrs, types, out: function(arrays[0])


def binary(function: Callable[[Array, Array], Array]) -> Meaning:
    """An elementwise op of two operands."""
    return lambda arrays, attrs, types, out: function(arrays[0], arrays[1])


def compare(function: Callable[[Array, Array], Array]) -> Meaning:
    """A comparison: 1 where it holds, else 0."""
    return lambda arrays, attrs, types, out: function(arrays[0], arrays[1]).astype(arrays[0].dtype)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x) without overflow on either side."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def softplus(x: Array) -> Array:
    """log(1 + e^x) without overflow."""
    return np.logaddexp(0, x)


def erf(x: Array) -> Array:
    """The error function."""
    return np.asarray(_erf(x), x.dtype)


def step(x: Array) -> Array:
    """1 where x > 0, else 0."""
    return np.asarray(x > 0, x.dtype)


def where(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    return np.where(arrays[0] != 0, arrays[1], arrays[2])


def _own_axis(attrs: Mapping[str, AttrValue], kind: Type) -> int:
    return int_attr(attrs, "axis") - kind.rank


def axiswise(function: Callable[[Array, int], Array]) -> Meaning:
    """An op along the attribute ``axis``, counted from the right for NumPy."""
    return lambda arrays, attrs, types, out: function(arrays[0], _own_axis(attrs, types[0]))


def argmax(x: Array, axis: int) -> Array:
    """The index of the first maximum."""
    return np.asarray(np.argmax(x, axis=axis), x.dtype)


def cumsum(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    axis = _own_axis(attrs, types[0])
    if attrs["reverse"]:
        return np.flip(np.cumsum(np.flip(arrays[0], axis), axis=axis), axis)
    return np.cumsum(arrays[0], axis=axis)


def scan(step: Callable[[Array, Array, Array], Array]) -> Meaning:
    """``y_k = step(y_(k-1), a_k, x_k)`` along an axis, from its end with ``reverse``; the first
    is x."""

    def meaning(
        arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
    ) -> Array:
        axis = _own_axis(attrs, out)
        factor, addend = np.broadcast_arrays(*arrays)
        made = addend.copy()
        factor, lines = np.moveaxis(factor, axis, 0), np.moveaxis(made, axis, 0)
        if attrs["reverse"]:
            factor, lines = factor[::-1], lines[::-1]
        for k in range(1, len(lines)):
            lines[k] = step(lines[k - 1], factor[k], lines[k])
        return made

    return meaning


def _lead(array: Array, kind: Type) -> tuple[int, ...]:
    return array.shape[: array.ndim - kind.rank]


def broadcast(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    lead = _lead(arrays[0], types[0])
    placed = [1] * out.rank
    for size, axis in zip(types[0].sizes, ints_attr(attrs, "axes"), strict=True):
        placed[axis] = size
    return np.broadcast_to(arrays[0].reshape(*lead, *placed), (*lead, *out.sizes))


def reshape(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    return arrays[0].reshape(*_lead(arrays[0], types[0]), *out.sizes)


def transpose(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    lead = arrays[0].ndim - out.rank
    return arrays[0].transpose(*range(lead), *(lead + axis for axis in ints_attr(attrs, "perm")))


def concat(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    leads = [_lead(a, t) for a, t in zip(arrays, types, strict=True)]
    lead = np.broadcast_shapes(*leads)
    aligned = [np.broadcast_to(a, (*lead, *t.sizes)) for a, t in zip(arrays, types, strict=True)]
    return np.concatenate(aligned, axis=_own_axis(attrs, out))


def slice_(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    start, stop = (int(d) for d in dims_attr(attrs, "bounds"))
    index: list[Any] = [slice(None)] * out.rank
    index[int_attr(attrs, "axis")] = slice(start, stop)
    return arrays[0][(..., *index)]


def pad(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    before, after = (int(d) for d in dims_attr(attrs, "bounds"))
    widths = [(0, 0)] * arrays[0].ndim
    widths[_own_axis(attrs, types[0])] = (before, after)
    return np.pad(arrays[0], widths)


def gather(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    return np.take(arrays[0], ints_attr(attrs, "indices"), axis=_own_axis(attrs, types[0]))


def scatter_add(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    axis = _own_axis(attrs, types[0])
    total = np.zeros((*_lead(arrays[0], types[0]), *out.sizes), arrays[0].dtype)
    np.add.at(
        np.moveaxis(total, axis, 0),
        list(ints_attr(attrs, "indices")),
        np.moveaxis(arrays[0], axis, 0),
    )
    return total


def roll(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    return np.roll(arrays[0], int_attr(attrs, "shift"), axis=_own_axis(attrs, types[0]))


def contract(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    left, right, output = parse_spec(attrs["spec"])
    product: Array = np.einsum(f"...{left},...{right}->...{output}", arrays[0], arrays[1])
    return _sum_lead(product, out) if attrs["sum_batch"] else product


def _sum_lead(array: Array, kind: Type) -> Array:
    """The sum over all leading axes, kept as axes of length 1."""
    lead = tuple(range(array.ndim - kind.rank))
    return np.asarray(array.sum(axis=lead, keepdims=True))


def batch_sum(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    return _sum_lead(arrays[0], out)


def full(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    return np.full(out.sizes, attrs["value"], np.float64)


def iota(
    arrays: Sequence[Array], attrs: Mapping[str, AttrValue], types: Sequence[Type], out: Type
) -> Array:
    axis = int_attr(attrs, "axis")
    shape = [1] * out.rank
    shape[axis] = out.sizes[axis]
    return np.broadcast_to(np.arange(out.sizes[axis], dtype=np.float64).reshape(shape), out.sizes)
