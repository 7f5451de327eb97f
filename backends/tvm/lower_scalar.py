"""Elementwise ops as scalar expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tvm import tirx

from rnndsl.backends.tvm import float32_math
from rnndsl.backends.tvm.float32_math import Let
from rnndsl.backends.tvm.tir import Expr, number

Scalar = Callable[..., Expr]


@dataclass(frozen=True, slots=True)
class Elementwise:
    """One op: its expression for a float type, and the float types in which it is a call.

    Calls of the C library take one element, never a vector: a loop nest with such an op is
    not vectorised.  Expressions name what they use twice through ``Let``.
    """

    of: Callable[[str, Let], Scalar]
    calls: frozenset[str] = frozenset()


_BOTH = frozenset({"float32", "float64"})


def _same(scalar: Scalar) -> Elementwise:
    """The same expression for every type."""
    return Elementwise(lambda dtype, let: scalar)


def _call(name: str) -> Elementwise:
    return Elementwise(lambda dtype, let: _library(name, dtype), _BOTH)


def _library(name: str, dtype: str) -> Scalar:
    """A function of the C library."""
    symbol = name + "f" if dtype == "float32" else name
    return lambda *args: tirx.call_pure_extern(dtype, symbol, *args)


def _smooth(
    in_float32: Callable[[Let, Expr], Expr], in_float64: Callable[[str, Let], Scalar]
) -> Elementwise:
    """Vectorised in float32, from the C library in float64."""

    def scalar(dtype: str, let: Let) -> Scalar:
        if dtype == "float32":
            return lambda x: in_float32(let, x)
        return in_float64(dtype, let)

    return Elementwise(scalar, frozenset({"float64"}))


def _compare(holds: Callable[[Expr, Expr], Expr]) -> Elementwise:
    def scalar(dtype: str, let: Let) -> Scalar:
        one, zero = number(1, dtype), number(0, dtype)
        return lambda a, b: tirx.Select(holds(a, b), one, zero)

    return Elementwise(scalar)


def larger(a: Expr, b: Expr) -> Expr:
    """The larger, or the one that is not a number."""
    return tirx.call_llvm_pure_intrin(_type_of(a), "llvm.maximum", a, b)


def smaller(a: Expr, b: Expr) -> Expr:
    """The smaller, or the one that is not a number."""
    return tirx.call_llvm_pure_intrin(_type_of(a), "llvm.minimum", a, b)


def _type_of(expr: Expr) -> str:
    return str(expr.ty.dtype)


def _sigmoid(dtype: str, let: Let) -> Scalar:
    one, zero = number(1, dtype), number(0, dtype)

    def scalar(x: Expr) -> Expr:
        small = let(tirx.exp(-tirx.abs(x)))
        return tirx.Select(x < zero, small, one) / (one + small)

    return scalar


def _softplus(dtype: str, let: Let) -> Scalar:
    log1p, zero = _library("log1p", dtype), number(0, dtype)
    return lambda x: tirx.Select(x < zero, zero, x) + log1p(tirx.exp(-tirx.abs(x)))


def _logsigmoid(dtype: str, let: Let) -> Scalar:
    log1p, zero = _library("log1p", dtype), number(0, dtype)
    return lambda x: tirx.Select(x > zero, zero, x) - log1p(tirx.exp(-tirx.abs(x)))


def _sign(dtype: str, let: Let) -> Scalar:
    one, zero = number(1, dtype), number(0, dtype)
    # The last x is 0, or not a number.
    return lambda x: tirx.Select(x > zero, one, tirx.Select(x < zero, -one, x))


def _relu(dtype: str, let: Let) -> Scalar:
    return lambda x: larger(x, number(0, dtype))


def _step(dtype: str, let: Let) -> Scalar:
    return lambda x: tirx.Select(x > number(0, dtype), number(1, dtype), number(0, dtype))


def _where(dtype: str, let: Let) -> Scalar:
    return lambda c, a, b: tirx.Select(tirx.NE(c, number(0, dtype)), a, b)


def _mod(dtype: str, let: Let) -> Scalar:
    fmod, copysign = _library("fmod", dtype), _library("copysign", dtype)
    zero = number(0, dtype)

    def scalar(a: Expr, b: Expr) -> Expr:
        rest = let(fmod(a, b))
        above, below = tirx.And(rest > zero, b < zero), tirx.And(rest < zero, b > zero)
        wrong_sign = tirx.Or(above, below)
        return tirx.Select(
            tirx.EQ(rest, zero), copysign(zero, b), tirx.Select(wrong_sign, rest + b, rest)
        )

    return scalar


ELEMENTWISE: Mapping[str, Elementwise] = {
    "neg": _same(lambda x: -x),
    "abs": _same(tirx.abs),
    "sign": Elementwise(_sign),
    "exp": _smooth(float32_math.exp, lambda dtype, let: tirx.exp),
    "log": _same(tirx.log),
    "log1p": _call("log1p"),
    "sqrt": _same(tirx.sqrt),
    "sin": _same(tirx.sin),
    "cos": _same(tirx.cos),
    "tanh": _smooth(float32_math.tanh, lambda dtype, let: _library("tanh", dtype)),
    "sigmoid": _smooth(float32_math.sigmoid, _sigmoid),
    "relu": Elementwise(_relu),
    "softplus": _smooth(float32_math.softplus, _softplus),
    "logsigmoid": _smooth(float32_math.logsigmoid, _logsigmoid),
    "erf": _call("erf"),
    "floor": _same(tirx.floor),
    "round": _same(tirx.round),
    "step": Elementwise(_step),
    "stop_grad": _same(lambda x: x),
    "add": _same(lambda a, b: a + b),
    "sub": _same(lambda a, b: a - b),
    "mul": _same(lambda a, b: a * b),
    "div": _same(lambda a, b: a / b),
    "max": _same(larger),
    "min": _same(smaller),
    "pow": _same(tirx.pow),
    "mod": Elementwise(_mod, _BOTH),
    "lt": _compare(lambda a, b: a < b),
    "le": _compare(lambda a, b: a <= b),
    "gt": _compare(lambda a, b: a > b),
    "ge": _compare(lambda a, b: a >= b),
    "eq": _compare(tirx.EQ),
    "ne": _compare(tirx.NE),
    "where": Elementwise(_where),
}
