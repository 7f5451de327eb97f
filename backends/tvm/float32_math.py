"""Float32 functions from multiplications and additions, so that LLVM can vectorise them.

LLVM turns ``exp`` of a vector into one call of the C library for each element, several times
slower than the arithmetic here.  Errors over the whole range, in units in the last place,
are held by tests: exp 2, sigmoid 3, tanh 3, softplus and logsigmoid 4.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

from tvm import tirx

from rnndsl.backends.tvm.tir import Expr, number

# Names a value that is used more than once.
Let = Callable[[Expr], Expr]

_F32 = "float32"

# Added to a number below 2^22 in size, it leaves the nearest whole number in the low bits.
_ROUNDER = 12582912.0
_ROUNDER_BITS = 0x4B400000
_LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has few bits, so that its products with exponents are exact.
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440054690583e-4
# Beyond these e^x is 0 or infinite in float32.
_EXP_MIN, _EXP_MAX = -104.0, 89.0
_EXP_TERMS = [1 / factorial(k) for k in range(8)]
_ATANH_TERMS = [1 / (2 * k + 1) for k in range(8)]


def _f32(value: float) -> Expr:
    return number(value, _F32)


def _polynomial(x: Expr, coefficients: list[float]) -> Expr:
    """The polynomial with these coefficients, the constant first, by Horner's rule."""
    total = _f32(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + _f32(coefficient)
    return total


def _power_of_two(exponent: Expr) -> Expr:
    """2^exponent for int32 exponents in [-126, 127]."""
    return tirx.reinterpret(_F32, (exponent + tirx.IntImm("int32", 127)) << 23)


def exp(let: Let, x: Expr) -> Expr:
    """e^x = 2^n e^r with n whole and |r| <= ln 2 / 2; a Taylor polynomial for e^r."""
    x = let(x)
    low = let(tirx.Select(x < _f32(_EXP_MIN), _f32(_EXP_MIN), x))
    clamped = let(tirx.Select(low > _f32(_EXP_MAX), _f32(_EXP_MAX), low))
    shifted = let(clamped * _f32(_LOG2_E) + _f32(_ROUNDER))
    whole = let(shifted - _f32(_ROUNDER))
    rest = let((clamped - whole * _f32(_LN2_HIGH)) - whole * _f32(_LN2_LOW))
    exponent = let(tirx.reinterpret("int32", shifted) - tirx.IntImm("int32", _ROUNDER_BITS))
    # In two steps: 2^n itself may be too large or too small for a normal number.
    half = let(exponent >> 1)
    scaled = _polynomial(rest, _EXP_TERMS) * _power_of_two(half)
    return let(scaled * _power_of_two(exponent - half))


def sigmoid(let: Let, x: Expr) -> Expr:
    """1 / (1 + e^-x) from e^-|x|, which keeps its relative accuracy in both tails."""
    small = exp(let, -tirx.abs(x))
    return tirx.Select(x < _f32(0), small, _f32(1)) / (_f32(1) + small)


def tanh(let: Let, x: Expr) -> Expr:
    """A continued fraction near 0, (1 - e^-2|x|) / (1 + e^-2|x|) elsewhere; one division."""
    size = let(tirx.abs(x))
    square = let(size * size)
    near = size < _f32(0.75)
    small = exp(let, size * _f32(-2))
    above = size * _polynomial(square, [945, 105, 1])
    below = _polynomial(square, [945, 420, 15])
    value = tirx.Select(near, above, _f32(1) - small) / tirx.Select(near, below, _f32(1) + small)
    return tirx.Select(x < _f32(0), _f32(-1), _f32(1)) * value


def _log1p_of_fraction(let: Let, u: Expr) -> Expr:
    """log(1 + u) for 0 <= u <= 1, as 2 atanh(u / (2 + u))."""
    s = let(u / (_f32(2) + u))
    return _f32(2) * s * _polynomial(let(s * s), _ATANH_TERMS)


def softplus(let: Let, x: Expr) -> Expr:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    rest = _log1p_of_fraction(let, exp(let, -tirx.abs(x)))
    return tirx.Select(x < _f32(0), _f32(0), x) + rest


def logsigmoid(let: Let, x: Expr) -> Expr:
    """log(sigmoid(x)) = -softplus(-x)."""
    rest = _log1p_of_fraction(let, exp(let, -tirx.abs(x)))
    return tirx.Select(x > _f32(0), _f32(0), x) - rest
