"""Arithmetic of static numbers and dimensions, bounded in size."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from rnndsl.dims import Dim, DimError, dim
from rnndsl.types import MOST_TERMS, Static, known

_LARGEST = 2**53  # whole numbers stay exact as floats
_HIGHEST_POWER = 16


class StaticError(Exception):
    """A static computation has no value; the message says why."""


class NotDecidable(Exception):
    """The result depends on a dimension without a number: it is a value, not a number."""


_ARITHMETIC: dict[str, Callable[..., int | float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}

_COMPARISONS: dict[str, Callable[..., bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def static_binary(op: str, left: Static, right: Static) -> Static:
    """``left op right``; StaticError without a result, NotDecidable for an open dimension."""
    if op in ("and", "or"):
        return (bool(left) and bool(right)) if op == "and" else (bool(left) or bool(right))
    if isinstance(left, Dim) or isinstance(right, Dim):
        return _dim_binary(op, left, right)
    try:
        if op in _COMPARISONS:
            return _COMPARISONS[op](left, right)
        if op == "/" and isinstance(left, int) and isinstance(right, int) and left % right == 0:
            return left // right
        if op == "**":
            return normal(power(left, right))
        return normal(_ARITHMETIC[op](left, right))
    except (ZeroDivisionError, ValueError):
        raise StaticError("division by zero") from None
    except OverflowError:
        raise StaticError("the number is too large") from None


def power(base: float, exponent: float) -> float:
    """``base ** exponent`` of numbers; whole numbers stay whole where they can."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if base.bit_length() * exponent > 64 and abs(base) > 1:
            raise StaticError("the number is too large")
        return int(base**exponent) if exponent <= _LARGEST else float(base) ** exponent
    if base < 0 and not float(exponent).is_integer():
        raise StaticError("the power of a negative number is not real")
    return math.pow(base, exponent)


def _dim_binary(op: str, left: Static, right: Static) -> Static:
    if isinstance(left, float) or isinstance(right, float):
        whole = [x for x in (left, right) if isinstance(x, float)]
        if not all(x.is_integer() and abs(x) < _LARGEST for x in whole):
            raise NotDecidable
    a, b = (dim(int(x)) if not isinstance(x, Dim) else x for x in (left, right))
    if op in _COMPARISONS:
        difference = known(a - b)
        if difference is None:
            raise NotDecidable
        return _COMPARISONS[op](difference, 0)
    if op not in _ARITHMETIC:
        raise NotDecidable
    if op == "*" and len(a.terms) * len(b.terms) > MOST_TERMS:
        raise StaticError("the dimension has too many terms")
    if op == "/" and not b.terms:
        raise StaticError("division by zero")
    try:
        result: Dim = _ARITHMETIC[op](a, b)  # type: ignore[assignment]
    except DimError:
        raise NotDecidable from None
    powers = [abs(power) for monomial, _ in result.terms for _, power in monomial]
    numbers = [abs(n) for _, c in result.terms for n in c.as_integer_ratio()]
    if max(numbers, default=0) > _LARGEST:
        raise StaticError("the number is too large")
    if len(result.terms) > MOST_TERMS or max(powers, default=0) > _HIGHEST_POWER:
        raise StaticError("the dimension has too many terms")
    return normal(result)


def static_unary(op: str, operand: Static) -> Static:
    """``-a`` or ``not a``."""
    if op == "not":
        if isinstance(operand, Dim):
            raise NotDecidable
        return not operand
    if isinstance(operand, Dim):
        return dim(0) - operand
    return -operand


def normal(value: float | Dim) -> Static:
    """A dimension without names becomes a number; numbers are checked for size."""
    if isinstance(value, Dim):
        if value.names:
            return value
        number = known(value)
        return number if number is not None else float(value.terms[0][1])
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise StaticError("the number is too large")
    return value


def fold(function: Callable[..., float], numbers: list[int | float]) -> float:
    """A function of numbers; StaticError outside its domain."""
    try:
        result = function(*numbers)
    except (ValueError, OverflowError, ZeroDivisionError):
        shown = ", ".join(f"{n:g}" for n in numbers)
        raise StaticError(f"the function has no value at {shown}") from None
    return result if isinstance(result, int) or not math.isnan(result) else float("nan")
