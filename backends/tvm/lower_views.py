"""Ops that move no data: a value is read at other places of its operand, or is a constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from tvm import tirx

from rnndsl.backends.tvm.accesses import counted
from rnndsl.backends.tvm.tir import Expr, divided, index, number
from rnndsl.compiler.ir import Node
from rnndsl.compiler.op_types import dims_attr, int_attr, ints_attr

Indices = tuple[Expr, ...]
# The element of a value in a row (one example at one time step) at indices of its shape.
Read = Callable[[Expr, Indices], Expr]
Sizes = tuple[int, ...]


def _broadcast(node: Node, sizes: Sizes, read: Read, dtype: str) -> Read:
    axes = ints_attr(dict(node.attrs), "axes")
    return lambda row, place: read(row, tuple(place[axis] for axis in axes))


def _transpose(node: Node, sizes: Sizes, read: Read, dtype: str) -> Read:
    perm = ints_attr(dict(node.attrs), "perm")
    inverse = [perm.index(axis) for axis in range(len(perm))]
    return lambda row, place: read(row, tuple(place[axis] for axis in inverse))


def _slice(node: Node, sizes: Sizes, read: Read, dtype: str) -> Read:
    return shifted(node, read, index)


def shifted(node: Node, read: Read, offset: Callable[[int], Expr]) -> Read:
    """A slice, whose start ``offset`` makes an index."""
    attrs = dict(node.attrs)
    axis, start = int_attr(attrs, "axis"), int(dims_attr(attrs, "bounds")[0])
    return lambda row, place: read(
        row, (*place[:axis], place[axis] + offset(start), *place[axis + 1 :])
    )


def _reshape(node: Node, sizes: Sizes, read: Read, dtype: str) -> Read:
    target = node.type.sizes
    return lambda row, place: read(row, regroup(place, target, sizes))


def regroup(place: Indices, sizes: Sequence[int], target: Sequence[int]) -> Indices:
    """Indices of an element of an array of ``sizes`` once it has the shape ``target``.

    Axes are taken in runs with equal numbers of elements, so that an axis that stays as it
    is costs no division.
    """
    found: list[Expr] = []
    i = j = 0
    while i < len(sizes) and j < len(target):
        first, held, old, new = i, j, sizes[i], target[j]
        i, j = i + 1, j + 1
        while old != new:
            if old < new:
                old, i = old * sizes[i], i + 1
            else:
                new, j = new * target[j], j + 1
        found += _split(_flat(place[first:i], sizes[first:i]), target[held:j])
    # What is left over has length 1.
    return (*found, *(index(0) for _ in target[j:]))


def _flat(place: Indices, sizes: Sequence[int]) -> Expr:
    total = place[0]
    for at, size in zip(place[1:], sizes[1:], strict=True):
        total = total * index(size) + at
    return total


def _split(flat: Expr, sizes: Sequence[int]) -> list[Expr]:
    if len(sizes) == 1:
        return [flat]
    if sizes[0] == 1:
        return [index(0), *_split(flat, sizes[1:])]
    first, rest = divided(flat, prod(sizes[1:]))
    return [first, *_split(rest, sizes[1:])]


def _full(node: Node, dtype: str) -> Read:
    value = number(float(node.attr("value")), dtype)  # type: ignore[arg-type]
    return lambda row, place: value


def _iota(node: Node, dtype: str) -> Read:
    axis = int_attr(dict(node.attrs), "axis")

    def read(row: Expr, place: Indices) -> Expr:
        counted()
        return tirx.Cast(dtype, place[axis])

    return read


VIEWS: Mapping[str, Callable[[Node, Sizes, Read, str], Read]] = {
    "broadcast": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
}

CONSTANTS: Mapping[str, Callable[[Node, str], Read]] = {"full": _full, "iota": _iota}
