"""Ops on many time steps at once: every op with one more leading axis, time.

In a graph whose step is a whole block, time within the block is an axis like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import AttrValue, Node
from rnndsl.compiler.op_types import dims_attr, int_attr, ints_attr, parse_spec
from rnndsl.compiler.ops import OPS
from rnndsl.dims import Dim, dim


class NotLiftedError(ValueError):
    """An op has no meaning for a block of time."""


def lift(builder: Builder, node: Node, operands: Sequence[tuple[int, bool]], length: int) -> int:
    """A node for all ``length`` steps of a block; operands come with whether they have time.

    NotLiftedError for ops of backward graphs.
    """
    if not any(has_time for _, has_time in operands):
        return builder.copy(node, tuple(value for value, _ in operands))
    if node.op == "contract":
        return _contract(builder, node, operands)
    values = tuple(
        value if has_time else repeated(builder, value, length) for value, has_time in operands
    )
    if OPS[node.op].elementwise:
        return builder.copy(node, values)
    if node.op not in _ATTRS:
        raise NotLiftedError(node.op)
    attrs = {**dict(node.attrs), **_ATTRS[node.op](node, dim(length))}
    return builder.op(node.op, *values, name=node.name, span=node.span, **attrs)


def repeated(builder: Builder, value: int, length: int) -> int:
    """The same value at each step of a block."""
    shape = builder.type_of(value).shape
    axes = tuple(range(1, len(shape) + 1))
    return builder.op("broadcast", value, shape=(dim(length), *shape), axes=axes)


def _contract(builder: Builder, node: Node, operands: Sequence[tuple[int, bool]]) -> int:
    if node.attr("sum_batch"):
        raise NotLiftedError("contract{sum_batch}")
    left, right, output = parse_spec(node.attr("spec"))
    time = next(x for x in "zyxwvutsrq" if x not in left + right)
    (a, a_time), (b, b_time) = operands
    spec = f"{time * a_time}{left},{time * b_time}{right}->{time}{output}"
    return builder.op("contract", a, b, name=node.name, span=node.span, spec=spec, sum_batch=False)


def _axis(node: Node, length: Dim) -> dict[str, AttrValue]:
    return {"axis": int_attr(dict(node.attrs), "axis") + 1}


def _shape(node: Node, length: Dim) -> dict[str, AttrValue]:
    return {"shape": (length, *dims_attr(dict(node.attrs), "shape"))}


def _broadcast(node: Node, length: Dim) -> dict[str, AttrValue]:
    axes = ints_attr(dict(node.attrs), "axes")
    return {**_shape(node, length), "axes": (0, *(axis + 1 for axis in axes))}


def _transpose(node: Node, length: Dim) -> dict[str, AttrValue]:
    return {"perm": (0, *(axis + 1 for axis in ints_attr(dict(node.attrs), "perm")))}


_AXIS = ("reduce_sum", "reduce_max", "argmax", "cumsum", "cummax", "concat", "slice", "pad")
_ATTRS: dict[str, Callable[[Node, Dim], dict[str, AttrValue]]] = {
    **dict.fromkeys((*_AXIS, "gather", "roll"), _axis),
    "scatter_add": lambda node, length: {**_axis(node, length), **_shape(node, length)},
    "reshape": _shape,
    "broadcast": _broadcast,
    "transpose": _transpose,
}
