"""What each function of the language becomes: one small expansion per function, in a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rnndsl.compiler.lower_emit import Emitter, Lowering
from rnndsl.compiler.lower_shapes import SHAPED
from rnndsl.dims import Dim
from rnndsl.typed import TypedValue


def _op(name: str) -> Lowering:
    return lambda e, value, operands: e.each(name, *operands)


def _swapped(name: str) -> Lowering:
    return lambda e, value, operands: e.each(name, operands[1], operands[0])


def _number(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    number = value.option("value")
    assert isinstance(number, (int, float))
    return e.full(number)


def _size(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    length = value.option("value")
    assert isinstance(length, Dim)
    return e.size(length)


# ------------------------------------------------------------------------ elementwise


def _silu(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    return e.op("mul", operands[0], e.op("sigmoid", operands[0]))


def _swish(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    v, beta = operands
    return e.each("mul", v, e.op("sigmoid", e.each("mul", beta, v)))


def _gelu(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    (v,) = operands
    half = e.const("mul", v, 0.5)
    normal = e.const("add", e.op("erf", e.const("mul", v, math.sqrt(0.5))), 1.0)
    return e.op("mul", half, normal)


def _leaky(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    v, slope = operands
    scaled = e.each("mul", slope, v)
    return e.each("where", e.op("step", v), v, scaled)


def _elu(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    v, alpha = operands
    return _exponential_unit(e, v, alpha)


def _exponential_unit(e: Emitter, v: int, alpha: int) -> int:
    below = e.const("min", v, 0.0)  # exp must not overflow where its value is not used
    grown = e.const("sub", e.op("exp", below), 1.0)
    return e.each("where", e.op("step", v), v, e.each("mul", alpha, grown))


def _selu(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    (v,) = operands
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return e.const("mul", _exponential_unit(e, v, e.full(alpha)), scale)


def _hard_sigmoid(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    line = e.const("add", e.each("mul", *operands), 0.5)
    return e.const("min", e.const("max", line, 0.0), 1.0)


def _rsqrt(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    root = e.op("sqrt", operands[0])
    return e.op("div", e.full(1.0, e.shape(root)), root)


def _lerp(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    a, b, w = operands
    return e.each("add", a, e.each("mul", w, e.each("sub", b, a)))


def _gate3(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    a, b, gate = operands
    open_ = e.op("sigmoid", gate)
    rest = e.op("sub", e.full(1.0, e.shape(open_)), open_)
    return e.each("add", e.each("mul", open_, a), e.each("mul", rest, b))


def _clip(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    v, low, high = operands
    return e.each("min", e.each("max", v, low), high)


def _modrelu(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    v, bias = operands
    size = e.op("relu", e.each("add", e.op("abs", v), bias))
    return e.each("mul", e.op("sign", v), size)


# -------------------------------------------------------------------------- gradients


def _stop_grad(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    return e.op("stop_grad", operands[0])


def _ste(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    forward, backward = operands
    # The difference is exactly zero and carries the gradient of `backward`.
    nothing = e.op("sub", backward, e.op("stop_grad", backward))
    return e.op("add", e.op("stop_grad", forward), nothing)


# -------------------------------------------------------------------------- constants


def _shape(value: TypedValue) -> tuple[Dim, ...]:
    return value.type.shape


def _filled(number: float) -> Lowering:
    return lambda e, value, operands: e.full(number, _shape(value))


def _full(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    return e.spread(operands[0], _shape(value))


def _identity(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    rows, columns = (e.op("iota", axis=axis, shape=_shape(value)) for axis in (0, 1))
    return e.op("eq", rows, columns)


def _iota(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    axis = value.option("axis")
    assert isinstance(axis, int)
    return e.op("iota", axis=axis % len(_shape(value)), shape=_shape(value))


_SAME = (
    "neg sigmoid tanh relu softplus exp log log1p logsigmoid sqrt abs sign sin cos erf floor "
    "round step min max pow mod where"
)

_ELEMENTWISE: dict[str, Lowering] = {
    **{name: _op(name) for name in _SAME.split()},
    "+": _op("add"),
    "-": _op("sub"),
    "*": _op("mul"),
    "/": _op("div"),
    "**": _op("pow"),
    "<": _op("lt"),
    "<=": _op("le"),
    ">": _op("gt"),
    ">=": _op("ge"),
    "==": _op("eq"),
    "!=": _op("ne"),
    "number": _number,
    "size": _size,
    "silu": _silu,
    "swish": _swish,
    "gelu": _gelu,
    "leaky_relu": _leaky,
    "prelu": _leaky,
    "elu": _elu,
    "selu": _selu,
    "hard_sigmoid": _hard_sigmoid,
    "rsqrt": _rsqrt,
    "lerp": _lerp,
    "gate3": _gate3,
    "clip": _clip,
    "modrelu": _modrelu,
    "stop_grad": _stop_grad,
    "ste": _ste,
    "zeros": _filled(0.0),
    "ones": _filled(1.0),
    "full": _full,
    "identity": _identity,
    "iota": _iota,
}


LOWERINGS: dict[str, Lowering] = {**_ELEMENTWISE, **SHAPED}
