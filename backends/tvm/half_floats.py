"""Numbers of 16 bits in memory, which kernels compute with as float32."""

from __future__ import annotations

from tvm import tirx

from rnndsl.backends.tvm.tir_types import Expr

# How each type is declared: LLVM lacks arithmetic of bfloat16 on most processors, so that it is
# taken as the upper half of a float32.
MEMORY = {"bfloat16": "uint16", "float16": "float16"}
_BITS, _HALF, _F32 = "uint32", "uint16", "float32"
# The upper half of a number that is none.
_NAN = 0x7FC0


def widened(stored: Expr) -> Expr:
    """The float32 that 16 bits stand for."""
    lanes = _lanes(stored)
    if not str(stored.ty.dtype).startswith(_HALF):
        return tirx.Cast(_F32 + lanes, stored)
    bits = tirx.Cast(_BITS + lanes, stored)
    return tirx.reinterpret(_F32 + lanes, bits << tirx.const(16, _BITS + lanes))


def narrowed(value: Expr, memory: str) -> Expr:
    """The nearest number of 16 bits, the even one of two."""
    lanes = _lanes(value)
    if memory != _HALF:
        return tirx.Cast(memory + lanes, value)

    def number(found: int) -> Expr:
        return tirx.const(found, _BITS + lanes)

    bits = tirx.reinterpret(_BITS + lanes, value)
    last = tirx.bitwise_and(bits >> number(16), number(1))
    rounded = (bits + number(0x7FFF) + last) >> number(16)
    kept = tirx.Select(tirx.EQ(value, value), rounded, number(_NAN))
    return tirx.Cast(_HALF + lanes, kept)


def _lanes(expr: Expr) -> str:
    """What follows the name of a type in that of its vectors."""
    return str(expr.ty.dtype).partition("x")[1] + str(expr.ty.dtype).partition("x")[2]
