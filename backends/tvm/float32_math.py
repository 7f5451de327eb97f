"""Float32 functions from multiplications and additions, so that LLVM can vectorise them.

LLVM turns ``exp`` of a vector into one call of the C library for each element, several times
slower than the arithmetic here.  Errors over the whole range, in units in the last place,
are held by tests: exp 2, sigmoid 3, tanh 3, softplus and logsigmoid 4.
"""

from __future__ import annotations

from collections.abc import Callable

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
# tanh rounds to 1 long before.
_TANH_MIN = -40.0
# (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, fitted to 3e-9 of e^r.
_EXP_TERMS = [
    0.4999999403953552,
    0.1666652113199234,
    0.04166838899254799,
    0.00836874544620514,
    0.0013814539415761828,
]
_ATANH_TERMS = [1 / (2 * k + 1) for k in range(8)]


def _f32(value: float) -> Expr:
    return number(value, _F32)


def _polynomial(x: Expr, coefficients: list[float]) -> Expr:
    """The polynomial with these coefficients, the constant first, by Horner's rule."""
    total = _f32(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + _f32(coefficient)
    return total


def _power_of_two(exponent: Expr, bias: int = 127) -> Expr:
    """2^(exponent + bias - 127) for int32 exponents that end up in [-126, 127].

    Bits above the lowest nine of an exponent do not count.
    """
    return tirx.reinterpret(_F32, (exponent << 23) + tirx.IntImm("int32", bias << 23))


def _at_least(x: Expr, low: float) -> Expr:
    """The larger of x and a number; x where it is not a number."""
    return tirx.Select(x < _f32(low), _f32(low), x)


def _reduced(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """e^r - 1 and n with x = n ln 2 + r, n whole and |r| <= ln 2 / 2.

    The lowest nine bits of n are those of the int32 given back.
    """
    shifted = let(x * _f32(_LOG2_E) + _f32(_ROUNDER))
    whole = let(shifted - _f32(_ROUNDER))
    rest = let((x - whole * _f32(_LN2_HIGH)) - whole * _f32(_LN2_LOW))
    part = let(rest * rest * _polynomial(rest, _EXP_TERMS) + rest)
    return part, let(tirx.reinterpret("int32", shifted))


def exp(let: Let, x: Expr) -> Expr:
    """e^x = 2^n e^r."""
    low = let(_at_least(let(x), _EXP_MIN))
    clamped = let(tirx.Select(low > _f32(_EXP_MAX), _f32(_EXP_MAX), low))
    part, bits = _reduced(let, clamped)
    exponent = let(bits - tirx.IntImm("int32", _ROUNDER_BITS))
    # In two steps: 2^n itself may be too large or too small for a normal number.
    half = let(exponent >> 1)
    scaled = (part + _f32(1)) * _power_of_two(half)
    return let(scaled * _power_of_two(exponent - half))


def _exp_of_minus(let: Let, size: Expr) -> Expr:
    """e^-size for size >= 0."""
    part, bits = _reduced(let, let(_at_least(-size, _EXP_MIN)))
    # 2^(n + 64) is a normal number, unlike 2^n.
    return let((part + _f32(1)) * _power_of_two(bits, 127 + 64) * _f32(2.0**-64))


def sigmoid(let: Let, x: Expr) -> Expr:
    """1 / (1 + e^-x) from e^-|x|, which keeps its relative accuracy in both tails."""
    small = _exp_of_minus(let, tirx.abs(x))
    return tirx.Select(x < _f32(0), small, _f32(1)) / (_f32(1) + small)


def tanh(let: Let, x: Expr) -> Expr:
    """-d / (2 + d) with d = e^-2|x| - 1 = 2^n (e^r - 1) + (2^n - 1), accurate near 0 too."""
    part, bits = _reduced(let, let(_at_least(tirx.abs(x) * _f32(-2), _TANH_MIN)))
    power = let(_power_of_two(bits))
    less = let(power * part + (power - _f32(1)))
    return tirx.Select(x < _f32(0), less, -less) / (_f32(2) + less)


def _log1p_of_fraction(let: Let, u: Expr) -> Expr:
    """log(1 + u) for 0 <= u <= 1, as 2 atanh(u / (2 + u))."""
    s = let(u / (_f32(2) + u))
    return _f32(2) * s * _polynomial(let(s * s), _ATANH_TERMS)


def softplus(let: Let, x: Expr) -> Expr:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    rest = _log1p_of_fraction(let, _exp_of_minus(let, tirx.abs(x)))
    return tirx.Select(x < _f32(0), _f32(0), x) + rest


def logsigmoid(let: Let, x: Expr) -> Expr:
    """log(sigmoid(x)) = -softplus(-x)."""
    rest = _log1p_of_fraction(let, _exp_of_minus(let, tirx.abs(x)))
    return tirx.Select(x > _f32(0), _f32(0), x) - rest
