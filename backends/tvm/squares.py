"""Squares of vectors transposed in registers: one function for all weights of a kernel."""

from __future__ import annotations

from functools import cache

from rnndsl.backends.tvm.outline import call_apart
from rnndsl.backends.tvm.tir_types import Expr, Stmt

# What LLVM calls the elements, and their bytes.
KINDS = {"float32": ("float", 4), "float64": ("double", 8)}
TYPES = frozenset(KINDS)


def transpose(
    dtype: str, width: int, source: Expr, source_step: Expr, target: Expr, target_step: Expr
) -> Stmt:
    """``target[j, i] = source[i, j]`` for ``width`` rows and columns, whose rows are so many
    elements apart; ``source`` and ``target`` are addresses."""
    name = f"rnndsl_transpose_{dtype}_{width}"
    given = {"source": source, "source_step": source_step}
    wanted = {"target": target, "target_step": target_step}
    return call_apart(name, _text(name, dtype, width), {**given, **wanted})


@cache
def _text(name: str, dtype: str, width: int) -> str:
    kind, size = KINDS[dtype]
    vector = f"<{width} x {kind}>"
    lines = list[str]()

    def keep(value: str) -> str:
        lines.append(f"%v{len(lines)} = {value}")
        return f"%v{len(lines) - 1}"

    def row(address: str, step: str, number: int) -> str:
        offset = keep(f"mul i64 {step}, {number}")
        return keep(f"getelementptr {kind}, ptr {address}, i64 {offset}")

    def interleaved(first: str, second: str, start: int) -> str:
        # Lanes of the second vector are counted on from those of the first.
        lanes = (lane for k in range(start, start + width // 2) for lane in (k, k + width))
        order = ", ".join(f"i32 {lane}" for lane in lanes)
        picked = f"<{width} x i32> <{order}>"
        return keep(f"shufflevector {vector} {first}, {vector} {second}, {picked}")

    def read(number: int) -> str:
        return keep(f"load {vector}, ptr {row('%source', '%source_step', number)}, align {size}")

    vectors = [read(k) for k in range(width)]
    half = width // 2
    for _ in range(width.bit_length() - 1):
        # Twice as many rows that are half as far apart, until all lie side by side.
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [interleaved(a, b, start) for a, b in pairs for start in (0, half)]
    for k, value in enumerate(vectors):
        place = row("%target", "%target_step", k)
        lines.append(f"store {vector} {value}, ptr {place}, align {size}")
    named = "ptr noalias %source, i64 %source_step, ptr noalias %target, i64 %target_step"
    body = "\n  ".join(lines)
    return f"define i32 @{name}({named}) nounwind {{\n  {body}\n  ret i32 0\n}}\n"
