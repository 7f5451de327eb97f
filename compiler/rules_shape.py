"""Identities of ops that move data: all exact, since no arithmetic changes."""

from __future__ import annotations

from collections.abc import Callable

from rnndsl.compiler.ir import Node
from rnndsl.compiler.op_types import dims_attr, int_attr, ints_attr
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.rewrite import Apply, Grade, Rewriter, Rule
from rnndsl.dims import Dim, dim

_ZERO = dim(0)
_RULES: list[Rule] = []


def _rule(op: str, grade: Grade = Grade.EXACT) -> Callable[[Apply], Apply]:
    """Enter a function into the table; its docstring states the identity."""

    def enter(apply: Apply) -> Apply:
        _RULES.append(Rule((apply.__doc__ or "").strip(), op, grade, apply))
        return apply

    return enter


def _axis(node: Node) -> int:
    return int_attr(dict(node.attrs), "axis")


def _ints(node: Node, key: str) -> tuple[int, ...]:
    return ints_attr(dict(node.attrs), key)


def _bounds(node: Node) -> tuple[Dim, Dim]:
    start, stop = dims_attr(dict(node.attrs), "bounds")
    return start, stop


def _is_at_most(left: Dim, right: Dim) -> bool:
    """Whether ``left <= right`` can be told; dimension names stand for any positive number."""
    rest = right - left
    return all(c >= 0 for _, c in rest.terms)


@_rule("reshape")
def _reshape_same(r: Rewriter, node: Node) -> int | None:
    """reshape(x) = x, if x has that shape"""
    (x,) = node.operands
    return x if r.type_of(x) == node.type else None


@_rule("reshape")
def _reshape_twice(r: Rewriter, node: Node) -> int | None:
    """reshape(reshape(x)) = reshape(x)"""
    inner = r.node(node.operands[0], "reshape")
    return r.same(node, *inner.operands) if inner else None


@_rule("transpose")
def _transpose_none(r: Rewriter, node: Node) -> int | None:
    """transpose(x) = x, if no axis moves"""
    perm = _ints(node, "perm")
    return node.operands[0] if perm == tuple(range(len(perm))) else None


@_rule("transpose")
def _transpose_twice(r: Rewriter, node: Node) -> int | None:
    """transpose(transpose(x)) = transpose(x)"""
    inner = r.node(node.operands[0], "transpose")
    if inner is None:
        return None
    first = _ints(inner, "perm")
    return r.op("transpose", *inner.operands, perm=tuple(first[k] for k in _ints(node, "perm")))


@_rule("broadcast")
def _broadcast_none(r: Rewriter, node: Node) -> int | None:
    """broadcast(x) = x, if x has that shape"""
    return node.operands[0] if len(_ints(node, "axes")) == node.type.rank else None


@_rule("broadcast")
def _broadcast_twice(r: Rewriter, node: Node) -> int | None:
    """broadcast(broadcast(x)) = broadcast(x)"""
    inner = r.node(node.operands[0], "broadcast")
    if inner is None:
        return None
    outer = _ints(node, "axes")
    axes = tuple(outer[k] for k in _ints(inner, "axes"))
    return r.op("broadcast", *inner.operands, shape=node.type.shape, axes=axes)


@_rule("slice")
def _slice_all(r: Rewriter, node: Node) -> int | None:
    """slice(x) = x, if it takes the whole axis"""
    return node.operands[0] if node.type == r.type_of(node.operands[0]) else None


@_rule("slice")
def _slice_twice(r: Rewriter, node: Node) -> int | None:
    """slice(slice(x)) = slice(x), along the same axis"""
    inner = r.node(node.operands[0], "slice")
    if inner is None or _axis(inner) != _axis(node):
        return None
    (start, stop), (offset, _) = _bounds(node), _bounds(inner)
    bounds = (offset + start, offset + stop)
    return r.op("slice", *inner.operands, axis=_axis(node), bounds=bounds)


@_rule("slice")
def _slice_concat(r: Rewriter, node: Node) -> int | None:
    """slice(concat(x, y)) = slice(x), if it lies in x"""
    inner = r.node(node.operands[0], "concat")
    if inner is None or _axis(inner) != _axis(node):
        return None
    (start, stop), offset, axis = _bounds(node), _ZERO, _axis(node)
    for operand in inner.operands:
        end = offset + r.type_of(operand).shape[axis]
        if _is_at_most(offset, start) and _is_at_most(stop, end):
            return r.op("slice", operand, axis=axis, bounds=(start - offset, stop - offset))
        offset = end
    return None


@_rule("slice")
def _slice_pad(r: Rewriter, node: Node) -> int | None:
    """slice(pad(x)) = slice(x), if it lies in x"""
    inner = r.node(node.operands[0], "pad")
    if inner is None or _axis(inner) != _axis(node):
        return None
    (start, stop), (before, _), axis = _bounds(node), _bounds(inner), _axis(node)
    (x,) = inner.operands
    if not _is_at_most(before, start):
        return None
    if not _is_at_most(stop, before + r.type_of(x).shape[axis]):
        return None
    return r.op("slice", x, axis=axis, bounds=(start - before, stop - before))


@_rule("slice")
def _slice_broadcast(r: Rewriter, node: Node) -> int | None:
    """slice(broadcast(x)) = broadcast(x), along an axis that repeats x"""
    inner = r.node(node.operands[0], "broadcast")
    if inner is None or _axis(node) in _ints(inner, "axes"):
        return None
    return r.op("broadcast", *inner.operands, shape=node.type.shape, axes=_ints(inner, "axes"))


@_rule("pad")
def _pad_none(r: Rewriter, node: Node) -> int | None:
    """pad(x) = x, if nothing is added"""
    return node.operands[0] if _bounds(node) == (_ZERO, _ZERO) else None


@_rule("pad")
def _pad_twice(r: Rewriter, node: Node) -> int | None:
    """pad(pad(x)) = pad(x), along the same axis"""
    inner = r.node(node.operands[0], "pad")
    if inner is None or _axis(inner) != _axis(node):
        return None
    (before, after), (left, right) = _bounds(node), _bounds(inner)
    bounds = (before + left, right + after)
    return r.op("pad", *inner.operands, axis=_axis(node), bounds=bounds)


@_rule("add", Grade.ZERO_SIGN)
def _add_pads(r: Rewriter, node: Node) -> int | None:
    """add(pad(x), pad(y)) = pad(concat(x, y)), if x ends where y begins"""
    return _join_pads(r, *node.operands)


@_rule("add", Grade.ZERO_SIGN)
def _add_pads_in_chain(r: Rewriter, node: Node) -> int | None:
    """add(add(x, pad(y)), pad(z)) = add(x, pad(concat(y, z))), if y ends where z begins"""
    for chain, padded in (node.operands, node.operands[::-1]):
        inner = r.node(chain, "add")
        if inner is None or r.node(padded, "pad") is None or not r.used_once(chain):
            continue
        for rest, other in (inner.operands, inner.operands[::-1]):
            joined = _join_pads(r, other, padded)
            if joined is not None:
                return r.op("add", rest, joined)
    return None


def _join_pads(r: Rewriter, left: int, right: int) -> int | None:
    """The sum of two pads of one axis that touch; None if they are not that."""
    first, second = r.node(left, "pad"), r.node(right, "pad")
    if first is None or second is None or _axis(first) != _axis(second):
        return None
    if not r.used_once(left) or not r.used_once(right):
        return None
    if _end(r, second) == _bounds(first)[0]:
        first, second = second, first
    if _end(r, first) != _bounds(second)[0]:
        return None
    joined = r.op("concat", *first.operands, *second.operands, axis=_axis(first))
    bounds = (_bounds(first)[0], _bounds(second)[1])
    return r.op("pad", joined, axis=_axis(first), bounds=bounds)


def _end(r: Rewriter, pad: Node) -> Dim:
    return _bounds(pad)[0] + r.type_of(pad.operands[0]).shape[_axis(pad)]


@_rule("concat")
def _concat_one(r: Rewriter, node: Node) -> int | None:
    """concat(x) = x"""
    return node.operands[0] if len(node.operands) == 1 else None


@_rule("concat")
def _concat_nested(r: Rewriter, node: Node) -> int | None:
    """concat(concat(x, y), z) = concat(x, y, z)"""
    parts: list[int] = []
    for operand in node.operands:
        inner = r.node(operand, "concat")
        same = inner is not None and _axis(inner) == _axis(node)
        parts.extend(inner.operands if inner is not None and same else (operand,))
    return r.same(node, *parts) if len(parts) > len(node.operands) else None


@_rule("concat")
def _concat_slices(r: Rewriter, node: Node) -> int | None:
    """concat(slice(x), slice(x)) = slice(x), if the first ends where the second begins"""
    axis = _axis(node)
    for place, (left, right) in enumerate(zip(node.operands, node.operands[1:], strict=False)):
        first, second = r.node(left, "slice"), r.node(right, "slice")
        if first is None or second is None or first.operands != second.operands:
            continue
        if _axis(first) != axis or _axis(second) != axis:
            continue
        (start, middle), (begin, stop) = _bounds(first), _bounds(second)
        if middle == begin:
            whole = r.op("slice", *first.operands, axis=axis, bounds=(start, stop))
            return r.same(node, *node.operands[:place], whole, *node.operands[place + 2 :])
    return None


@_rule("gather")
def _gather_run(r: Rewriter, node: Node) -> int | None:
    """gather(x) = slice(x), if the indices count up by one"""
    indices = _ints(node, "indices")
    if not indices or indices != tuple(range(indices[0], indices[0] + len(indices))):
        return None
    bounds = (dim(indices[0]), dim(indices[0] + len(indices)))
    return r.op("slice", *node.operands, axis=_axis(node), bounds=bounds)


@_rule("gather")
def _gather_twice(r: Rewriter, node: Node) -> int | None:
    """gather(gather(x)) = gather(x), along the same axis"""
    inner = r.node(node.operands[0], "gather")
    if inner is None or _axis(inner) != _axis(node):
        return None
    first = _ints(inner, "indices")
    indices = tuple(first[k] for k in _ints(node, "indices"))
    return r.op("gather", *inner.operands, axis=_axis(node), indices=indices)


@_rule("roll")
def _roll_none(r: Rewriter, node: Node) -> int | None:
    """roll(x) = x, by nothing"""
    return node.operands[0] if dict(node.attrs)["shift"] == 0 else None


@_rule("roll")
def _roll_twice(r: Rewriter, node: Node) -> int | None:
    """roll(roll(x)) = roll(x), along the same axis"""
    inner = r.node(node.operands[0], "roll")
    if inner is None or _axis(inner) != _axis(node):
        return None
    shift = int_attr(dict(inner.attrs), "shift") + int_attr(dict(node.attrs), "shift")
    return r.op("roll", *inner.operands, axis=_axis(node), shift=shift)


def _one_entry(r: Rewriter, node: Node) -> int | None:
    """reduce(x) = reshape(x), if the axis has one entry"""
    (x,) = node.operands
    if r.type_of(x).shape[_axis(node)] != dim(1):
        return None
    return r.op("reshape", x, shape=node.type.shape)


def _before_broadcast(r: Rewriter, node: Node) -> int | None:
    """f(broadcast(x), broadcast(y)) = broadcast(f(x, y)), if f is elementwise"""
    inner = [r.node(v, "broadcast") for v in node.operands]
    found = [n for n in inner if n is not None]
    if not found or any(n.attrs != found[0].attrs for n in found):
        return None
    shapes = {r.type_of(n.operands[0]).shape for n in found}
    if len(shapes) != 1:
        return None
    (shape,) = shapes
    small = []
    for value, repeated in zip(node.operands, inner, strict=True):
        number = r.constant(value)
        if repeated is not None:
            small.append(repeated.operands[0])
        elif number is not None:
            small.append(r.op("full", value=number, shape=shape))
        else:
            return None
    computed = r.same(node, *small)
    return r.op("broadcast", computed, **dict(found[0].attrs))


def _table() -> tuple[Rule, ...]:
    reductions = [
        Rule(_one_entry.__doc__ or "", op, Grade.EXACT, _one_entry)
        for op in ("reduce_sum", "reduce_max")
    ]
    elementwise = [
        Rule(_before_broadcast.__doc__ or "", op.name, Grade.EXACT, _before_broadcast)
        for op in OPS.values()
        if op.elementwise
    ]
    return (*_RULES, *reductions, *elementwise)


SHAPE_RULES: tuple[Rule, ...] = _table()
