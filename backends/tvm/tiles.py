"""Tiles of products, held in registers: one function for all products of a kernel.

``c[r, i] = sum over k of a[r, k] * b[k, i]`` for some rows and a few tiles, where what is summed
over and how far apart rows are is told in arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.outline import call_apart
from rnndsl.backends.tvm.squares import KINDS
from rnndsl.backends.tvm.tir import Expr, Stmt


@dataclass(frozen=True, slots=True)
class Shape:
    """``rows`` of ``tiles`` of ``tile`` elements, of which the first ``width`` are results."""

    dtype: str
    rows: int
    tiles: int
    tile: int
    width: int


@dataclass(frozen=True, slots=True)
class Operand:
    """Where the first element is, and how many elements further the next row and term are; for
    packed weights the next tile and term."""

    address: Expr
    row: int
    term: int


@dataclass(frozen=True, slots=True)
class Results:
    """Where the first result is, and how many elements further the next row and tile are."""

    address: Expr
    row: int
    tile: int


def multiply(shape: Shape, a: Operand, b: Operand, terms: int, c: Results) -> Stmt:
    """The product of ``a`` and a weight ``b``, written to ``c``."""
    sizes = (shape.rows, shape.tiles, shape.tile, shape.width)
    name = f"rnndsl_multiply_{shape.dtype}_{'_'.join(map(str, sizes))}"
    numbers = {
        "a_row": a.row,
        "a_term": a.term,
        "b_tile": b.row,
        "b_term": b.term,
        "c_row": c.row,
        "c_tile": c.tile,
        "terms": terms,
    }
    given = {"a": a.address, "b": b.address, "c": c.address}
    given |= {key: tir.index(value) for key, value in numbers.items()}
    return call_apart(name, _text(name, shape), given)


@cache
def _text(name: str, shape: Shape) -> str:
    kind, size = KINDS[shape.dtype]
    lanes = 1 << (shape.width - 1).bit_length()
    vector = f"<{lanes} x {kind}>"
    add = f"@llvm.fmuladd.v{lanes}f{8 * size}"
    rows, tiles = range(shape.rows), range(shape.tiles)
    lines = list[str]()

    def place(name: str, base: str, offset: str) -> None:
        lines.append(f"  %{name} = getelementptr {kind}, ptr {base}, i64 {offset}")

    def apart(name: str, base: str, step: str, count: int) -> None:
        for k in range(count):
            lines.append(f"  %{name}.{k} = mul i64 {step}, {k}")
            place(f"{name}{k}", base, f"%{name}.{k}")

    apart("row", "%a", "%a_row", shape.rows)
    apart("tile", "%b", "%b_tile", shape.tiles)
    apart("out", "%c", "%c_row", shape.rows)
    for r in rows:
        apart(f"out{r}.", f"%out{r}", "%c_tile", shape.tiles)
    lines += ["  br label %next", "next:"]
    for counted in ("term", "here", "there"):
        lines.append(f"  %{counted} = phi i64 [ 0, %start ], [ %{counted}.new, %next ]")
    for r in rows:
        for s in tiles:
            known = f"[ zeroinitializer, %start ], [ %sum.new{r}.{s}, %next ]"
            lines.append(f"  %sum{r}.{s} = phi {vector} {known}")
    for s in tiles:
        place(f"weights{s}", f"%tile{s}", "%there")
        lines.append(f"  %weight{s} = load {vector}, ptr %weights{s}, align {size}")
    for r in rows:
        place(f"numbers{r}", f"%row{r}", "%here")
        lines.append(f"  %number{r} = load {kind}, ptr %numbers{r}, align {size}")
        lines.append(f"  %first{r} = insertelement {vector} poison, {kind} %number{r}, i64 0")
        every = f"{vector} poison, <{lanes} x i32> zeroinitializer"
        lines.append(f"  %each{r} = shufflevector {vector} %first{r}, {every}")
        for s in tiles:
            added = f"{vector} %each{r}, {vector} %weight{s}, {vector} %sum{r}.{s}"
            lines.append(f"  %sum.new{r}.{s} = call {vector} {add}({added})")
    lines += [
        "  %term.new = add nuw nsw i64 %term, 1",
        "  %here.new = add nsw i64 %here, %a_term",
        "  %there.new = add nsw i64 %there, %b_term",
        "  %more = icmp slt i64 %term.new, %terms",
        "  br i1 %more, label %next, label %done",
        "done:",
    ]
    for r in rows:
        for s in tiles:
            for start, count in tir.powers(shape.width):
                key, part = f"{r}.{s}.{start}", f"<{count} x {kind}>"
                order = ", ".join(f"i32 {start + lane}" for lane in range(count))
                picked = f"{vector} poison, <{count} x i32> <{order}>"
                value = f"{vector} %sum.new{r}.{s}"
                lines.append(f"  %some{key} = shufflevector {value}, {picked}")
                place(f"to{key}", f"%out{r}.{s}", str(start))
                lines.append(f"  store {part} %some{key}, ptr %to{key}, align {size}")
    arguments = "ptr %a, ptr %b, ptr %c, i64 %a_row, i64 %a_term, i64 %b_tile, i64 %b_term"
    numbers = "i64 %c_row, i64 %c_tile, i64 %terms"
    head = f"define i32 @{name}({arguments}, {numbers}) nounwind {{\nstart:\n"
    tail = f"  ret i32 0\n}}\ndeclare {vector} {add}({vector}, {vector}, {vector})\n"
    return head + "\n".join(lines) + "\n" + tail
