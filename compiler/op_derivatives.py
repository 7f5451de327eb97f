"""Derivatives of the ops: for each, the nodes that turn a cotangent into its operands'.

A rule receives the builder, the node (its operands are the builder's handles), the handle of
its value and that of the cotangent.  It returns one handle per operand; None where no gradient
flows.  A contribution to a shared operand may come back batched: the caller sums it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from rnndsl.compiler.ir import Node
from rnndsl.compiler.op_types import dims_attr, int_attr, ints_attr, parse_spec
from rnndsl.dims import dim

if TYPE_CHECKING:
    from rnndsl.compiler.builder import Builder

Derivative = Callable[["Builder", Node, int, int], tuple[int | None, ...]]


def _constant(b: Builder, value: float, like: int) -> int:
    return b.full(value, b.type_of(like).shape)


def scaled_by(partial: Callable[[Builder, int, int], int]) -> Derivative:
    """A unary elementwise op: cotangent times ``partial(builder, x, y)``."""

    def rule(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
        return (b.op("mul", grad, partial(b, node.operands[0], out)),)

    return rule


def no_gradient(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    """Piecewise constant ops and cut edges."""
    return (None,) * len(node.operands)


def neg(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    return (b.op("neg", grad),)


def d_abs(b: Builder, x: int, y: int) -> int:
    return b.op("sign", x)


def d_exp(b: Builder, x: int, y: int) -> int:
    return y


def d_sqrt(b: Builder, x: int, y: int) -> int:
    return b.op("div", _constant(b, 0.5, y), y)


def d_sin(b: Builder, x: int, y: int) -> int:
    return b.op("cos", x)


def d_cos(b: Builder, x: int, y: int) -> int:
    return b.op("neg", b.op("sin", x))


def d_tanh(b: Builder, x: int, y: int) -> int:
    return b.op("sub", _constant(b, 1, y), b.op("mul", y, y))


def d_sigmoid(b: Builder, x: int, y: int) -> int:
    return b.op("mul", y, b.op("sub", _constant(b, 1, y), y))


def d_relu(b: Builder, x: int, y: int) -> int:
    return b.op("step", x)


def d_softplus(b: Builder, x: int, y: int) -> int:
    return b.op("sigmoid", x)


def d_logsigmoid(b: Builder, x: int, y: int) -> int:
    return b.op("sigmoid", b.op("neg", x))


def d_erf(b: Builder, x: int, y: int) -> int:
    bell = b.op("exp", b.op("neg", b.op("mul", x, x)))
    return b.op("mul", _constant(b, 2 / math.sqrt(math.pi), x), bell)


def log(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    return (b.op("div", grad, node.operands[0]),)


def log1p(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    x = node.operands[0]
    return (b.op("div", grad, b.op("add", _constant(b, 1, x), x)),)


def add(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    return grad, grad


def sub(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    return grad, b.op("neg", grad)


def mul(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    left, right = node.operands
    return b.op("mul", grad, right), b.op("mul", grad, left)


def div(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    per_unit = b.op("div", grad, node.operands[1])
    return per_unit, b.op("neg", b.op("mul", per_unit, out))


def _choice(comparison: str) -> Derivative:
    """max and min: the cotangent goes to the operand that was taken, the first on a tie."""

    def rule(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
        taken = b.op(comparison, *node.operands)
        zero = _constant(b, 0, grad)
        return b.op("where", taken, grad, zero), b.op("where", taken, zero, grad)

    return rule


maximum = _choice("ge")
minimum = _choice("le")


def power(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    base, exponent = node.operands
    zero, one = _constant(b, 0, grad), _constant(b, 1, grad)
    lowered = b.op("pow", base, b.op("sub", exponent, one))
    # 0 * 0^-1 is not a number; a zero exponent has no slope.
    slope = b.op("where", exponent, b.op("mul", exponent, lowered), zero)
    positive = b.op("step", base)
    logarithm = b.op("log", b.op("where", positive, base, one))
    return b.op("mul", grad, slope), b.op("mul", grad, b.op("mul", out, logarithm))


def modulo(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    quotient = b.op("floor", b.op("div", *node.operands))
    return grad, b.op("neg", b.op("mul", grad, quotient))


def where(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    zero = _constant(b, 0, grad)
    condition = node.operands[0]
    return (
        None,
        b.op("where", condition, grad, zero),
        b.op("where", condition, zero, grad),
    )


def _repeat(b: Builder, value: int, like: int, axis: int) -> int:
    """Put a reduced axis back by repetition."""
    kind = b.type_of(like)
    axes = tuple(a for a in range(kind.rank) if a != axis)
    return b.op("broadcast", value, shape=kind.shape, axes=axes)


def reduce_sum(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    return (_repeat(b, grad, node.operands[0], int_attr(dict(node.attrs), "axis")),)


def reduce_max(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    x, axis = node.operands[0], int_attr(dict(node.attrs), "axis")
    largest = b.op("eq", x, _repeat(b, out, x, axis))
    share = b.op("div", grad, b.op("reduce_sum", largest, axis=axis))
    return (b.op("mul", largest, _repeat(b, share, x, axis)),)


def cumsum(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    attrs = dict(node.attrs)
    return (b.op("cumsum", grad, axis=int_attr(attrs, "axis"), reverse=not attrs["reverse"]),)


def cummax(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    """y_k = max(y_(k-1), x_k): an element takes all of the results that it is."""
    x = node.operands[0]
    carried = b.op("gt", _one_before(b, node, out, -math.inf), x)
    whole = _scanned_back(b, node, carried, grad)
    return (b.op("where", carried, _constant(b, 0, whole), whole),)


def linear_scan(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    """y_k = a_k y_(k-1) + x_k: what x_k did to y_k, and through it to later ones."""
    whole = _scanned_back(b, node, node.operands[0], grad)
    return b.op("mul", whole, _one_before(b, node, out, 0.0)), whole


def max_scan(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    """y_k = max(a_k + y_(k-1), x_k): the same, where the larger one takes all."""
    factor, x = node.operands
    before = _one_before(b, node, out, -math.inf)
    # Not out > x: where out was kept in 16 bits, it may be larger than what it was rounded from.
    carried = b.op("gt", b.op("add", factor, before), x)
    whole = _scanned_back(b, node, carried, grad)
    zero = _constant(b, 0, whole)
    return b.op("where", carried, whole, zero), b.op("where", carried, zero, whole)


def _scanned_back(b: Builder, node: Node, factor: int, grad: int) -> int:
    """g_k = grad_k + a_(k+1) g_(k+1), against the direction of a scan."""
    attrs = dict(node.attrs)
    axis, reverse = int_attr(attrs, "axis"), bool(attrs.get("reverse"))
    following = b.op("roll", factor, axis=axis, shift=1 if reverse else -1)
    return b.op("linear_scan", following, grad, axis=axis, reverse=not reverse)


def _one_before(b: Builder, node: Node, value: int, nothing: float) -> int:
    """The element before each in the direction of a scan; ``nothing`` before the first."""
    attrs, shape = dict(node.attrs), b.type_of(value).shape
    axis, one = int_attr(attrs, "axis"), dim(1)
    start = b.full(nothing, (*shape[:axis], one, *shape[axis + 1 :]))
    if attrs.get("reverse"):
        later = b.op("slice", value, axis=axis, bounds=(one, shape[axis]))
        return b.op("concat", later, start, axis=axis)
    earlier = b.op("slice", value, axis=axis, bounds=(dim(0), shape[axis] - one))
    return b.op("concat", start, earlier, axis=axis)


def broadcast(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    kept = ints_attr(dict(node.attrs), "axes")
    for axis in reversed(range(node.type.rank)):
        if axis not in kept:
            grad = b.op("reduce_sum", grad, axis=axis)
    return (grad,)


def reshape(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    return (b.op("reshape", grad, shape=b.type_of(node.operands[0]).shape),)


def transpose(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    perm = ints_attr(dict(node.attrs), "perm")
    return (b.op("transpose", grad, perm=tuple(perm.index(a) for a in range(len(perm)))),)


def concat(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    axis, start, parts = int_attr(dict(node.attrs), "axis"), dim(0), []
    for operand in node.operands:
        stop = start + b.type_of(operand).shape[axis]
        parts.append(b.op("slice", grad, axis=axis, bounds=(start, stop)))
        start = stop
    return tuple(parts)


def slice_(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    axis = int_attr(dict(node.attrs), "axis")
    start, stop = dims_attr(dict(node.attrs), "bounds")
    size = b.type_of(node.operands[0]).shape[axis]
    return (b.op("pad", grad, axis=axis, bounds=(start, size - stop)),)


def pad(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    axis = int_attr(dict(node.attrs), "axis")
    before, _ = dims_attr(dict(node.attrs), "bounds")
    stop = before + b.type_of(node.operands[0]).shape[axis]
    return (b.op("slice", grad, axis=axis, bounds=(before, stop)),)


def gather(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    attrs, shape = dict(node.attrs), b.type_of(node.operands[0]).shape
    return (
        b.op(
            "scatter_add",
            grad,
            axis=int_attr(attrs, "axis"),
            indices=ints_attr(attrs, "indices"),
            shape=shape,
        ),
    )


def scatter_add(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    attrs = dict(node.attrs)
    indices = ints_attr(attrs, "indices")
    return (b.op("gather", grad, axis=int_attr(attrs, "axis"), indices=indices),)


def roll(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    attrs = dict(node.attrs)
    shift = -int_attr(attrs, "shift")
    return (b.op("roll", grad, axis=int_attr(attrs, "axis"), shift=shift),)


def contract(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    left, right, output = parse_spec(node.attr("spec"))
    first, second = node.operands
    return (
        _contract_one(b, output, grad, right, second, left, first),
        _contract_one(b, output, grad, left, first, right, second),
    )


def _contract_one(
    b: Builder, output: str, grad: int, letters: str, other: int, wanted: str, target: int
) -> int:
    """The cotangent of ``target``: cotangent and other operand, contracted to its axes."""
    sum_batch = not b.type_of(target).batched and all(b.type_of(v).batched for v in (grad, other))
    found = "".join(letter for letter in wanted if letter in output + letters)
    spec = f"{output},{letters}->{found}"
    value = b.op("contract", grad, other, spec=spec, sum_batch=sum_batch)
    if found == wanted:
        return value
    # A letter that only the target has was summed over: its elements share the cotangent.
    axes = tuple(wanted.index(letter) for letter in found)
    return b.op("broadcast", value, shape=b.type_of(target).shape, axes=axes)


def inverse(b: Builder, node: Node, out: int, grad: int) -> tuple[int | None, ...]:
    """dA = -Y^T dY Y^T for Y = A^-1."""
    left = b.op("contract", out, grad, spec="ji,jk->ik", sum_batch=False)
    return (b.op("neg", b.op("contract", left, out, spec="ik,lk->il", sum_batch=False)),)
