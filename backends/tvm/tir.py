"""Short names for the TensorIR nodes that kernels are made of.

Kernels are built from nodes directly: no text is parsed, so that a kernel of hundreds of
statements is ready in milliseconds.  Printing a kernel gives readable script all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import prod
from typing import Any

import tvm
from tvm import ir, tirx
from tvm.sym import Analyzer

from rnndsl.backends.tvm.accesses import accessed, taken_apart
from rnndsl.backends.tvm.buffers import INDEX, Buffer, dense, index, seen_from
from rnndsl.backends.tvm.half_floats import MEMORY, narrowed, widened
from rnndsl.backends.tvm.tir_types import Expr, Extent, Stmt
from rnndsl.backends.tvm.written_once import written_once

__all__ = ["INDEX", "Buffer", "Expr", "Extent", "Stmt", "index"]

_HALVES = frozenset(MEMORY.values())
# TVM's name for arrays that it must not ask its runtime for, which it does from 1 KiB on:
# a library that is loaded without that runtime would call what is not there.
_ON_THE_STACK = "disable_lower_builtin"


def number(value: float, dtype: str) -> Expr:
    """A constant of a float type; inf and nan are allowed."""
    return tirx.FloatImm(dtype, float(value))


def length(name: str) -> Expr:
    """A length known only when the kernel is called."""
    return tirx.Var(name, INDEX)


@dataclass(slots=True)
class _Loops:
    """The loops of a kernel: the ranges of their variables, so that places in reshaped arrays
    need no division, and how many were made."""

    ranges: Any
    count: int = 0


_loops: ContextVar[_Loops | None] = ContextVar("loops", default=None)


@contextmanager
def analysis() -> Iterator[None]:
    """While this lasts, :func:`divided` knows the ranges of the loops that are made, and LLVM
    is told not to unroll those around others (:func:`written_once`)."""
    token = _loops.set(_Loops(Analyzer()))
    try:
        yield
    finally:
        _loops.reset(token)


def divided(value: Expr, by: int) -> tuple[Expr, Expr]:
    """Quotient and remainder of an index, without a division where the ranges allow it."""
    taken_apart()
    found = _loops.get()
    parts = tirx.floordiv(value, index(by)), tirx.floormod(value, index(by))
    if found is None:
        return parts
    return found.ranges.simplify(parts[0]), found.ranges.simplify(parts[1])


def simplified(value: Expr) -> Expr:
    """An index in the shortest form that is known to be equal."""
    found = _loops.get()
    return (Analyzer() if found is None else found.ranges).simplify(value)


def sequence(statements: Iterable[Stmt | None]) -> Stmt | None:
    """One statement after the other; None if there are none."""
    kept = [s for s in statements if s is not None]
    if not kept:
        return None
    return kept[0] if len(kept) == 1 else tirx.SeqStmt(kept)


def loop(
    extent: Extent,
    body: Callable[[Expr], Stmt | None],
    name: str = "i",
    kind: tirx.ForKind = tirx.ForKind.SERIAL,
    start: int = 0,
    once: bool = False,
) -> Stmt | None:
    """A loop over ``start <= i < extent``; lengths 0 and 1 make none.

    One around another, or with ``once``, LLVM leaves as it is.
    """
    if isinstance(extent, int):
        if extent <= start:
            return None
        if extent == start + 1:
            return body(index(start))
        extent = index(extent)
    variable = tirx.Var(name, INDEX)
    known = _loops.get()
    if known is not None and isinstance(extent, tirx.IntImm):
        known.ranges.bind(variable, tvm.ir.Range(index(start), extent))
    before = known.count if known is not None else 0
    inner = body(variable)
    if inner is None:
        return None
    if known is not None and kind is tirx.ForKind.SERIAL:
        inner = written_once(inner) if once or known.count > before else inner
        known.count += 1
    return tirx.For(variable, index(start), extent - start if start else extent, kind, inner)


def rows(count: Extent, body: Callable[[Expr], Stmt | None]) -> Stmt | None:
    """A loop over the rows of a block.

    LLVM leaves it as it is: it does not know how many rows there are, and would write out eight
    of them and another loop for those that are left, which takes long and gains nothing.
    """
    return loop(count, body, "row", once=True)


def nest(
    extents: Sequence[Extent],
    body: Callable[[tuple[Expr, ...]], Stmt | None],
    names: str = "ijklmnpq",
    once: bool = False,
) -> Stmt | None:
    """Loops one inside the other, the first outermost; ``once`` as for :func:`loop`."""
    if not extents:
        return body(())
    return loop(
        extents[0],
        lambda i: nest(extents[1:], lambda rest: body((i, *rest)), names[1:], once),
        names[0],
        once=once,
    )


class Scope:
    """Registers of one vector loop: a value that is used more than once is kept in one.

    A name bound with :func:`bind` would not do for floats: TVM's passes put the meaning of a
    name in place of its uses, so that a chain of functions would grow without bound.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.lane: Expr = index(0)
        self.declarations: list[Stmt] = []
        self.statements: list[Stmt] = []

    def keep(self, value: Expr) -> Expr:
        """Store a value in a register of its own; the register's element of this lane."""
        dtype = str(value.ty.dtype)
        buffer, declared = registers((self.width,), dtype, f"r{len(self.declarations)}")
        self.declarations.append(declared)
        self.statements.append(store(buffer, (self.lane,), value))
        return load(buffer, (self.lane,))


def powers(count: int) -> list[tuple[int, int]]:
    """``count`` elements as vectors ``(start, width)`` whose widths are powers of two."""
    found, start = [], 0
    while start < count:
        width = 1 << ((count - start).bit_length() - 1)
        found.append((start, width))
        start += width
    return found


def vectors(extent: int, width: int, body: Callable[[Expr, int], Stmt | None]) -> Stmt | None:
    """``body(start, count)`` for vectors of ``width`` elements, and shorter ones for the rest.

    All widths are powers of two: LLVM does not keep other vectors in registers.  Elements that
    are taken one by one stay so: LLVM would make vectors of them out of single loads.
    """
    full, rest = divmod(extent, width)
    return sequence(
        [
            loop(full, lambda i: body(i * width, width), "i", once=width == 1),
            *(body(index(full * width + at), count) for at, count in powers(rest)),
        ]
    )


def lanes(extent: int, width: int, body: Callable[[Expr, Scope], Stmt | None]) -> Stmt | None:
    """``body`` for each element, in the lanes of :func:`vectors`, with their registers."""

    def vector(start: Expr, count: int) -> Stmt | None:
        scope = Scope(count)

        def lane(v: Expr) -> Stmt | None:
            scope.lane = v
            last = body(start + v, scope)
            return sequence([*scope.statements, last])

        inner = vectorized(count, lane)
        return sequence([*scope.declarations, inner])

    return vectors(extent, width, vector)


def unrolled(extent: int, body: Callable[[Expr], Stmt | None], name: str = "u") -> Stmt | None:
    """A loop whose iterations are written out."""
    return loop(extent, body, name, tirx.ForKind.UNROLLED)


def vectorized(extent: int, body: Callable[[Expr], Stmt | None], name: str = "v") -> Stmt | None:
    """A loop whose iterations are the lanes of one vector."""
    return loop(extent, body, name, tirx.ForKind.VECTORIZED)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An array as a function of its own sees it: from a pointer to its first element on."""

    buffer: Buffer
    local: Buffer
    pointer: Expr
    declared: Stmt

    def start(self) -> Expr:
        """Where the first element is, for who calls the function."""
        first = index(0) if self.buffer.offset is None else self.buffer.offset
        return tirx.address_of(tirx.BufferLoad(self.buffer.elements, [first]))


@dataclass(slots=True)
class Surroundings:
    """What a function of its own uses of where it is called: buffers, and numbers that it
    takes as arguments so that functions that differ in these are one.

    ``registers`` belong to the function itself.
    """

    buffers: dict[Buffer, Elsewhere] = field(default_factory=dict)
    offsets: dict[int, Expr] = field(default_factory=dict)
    registers: set[Buffer] = field(default_factory=set)


# Of the function of its own that is being built, if there is one.
_surroundings: ContextVar[Surroundings | None] = ContextVar("surroundings", default=None)


@contextmanager
def elsewhere() -> Iterator[Surroundings]:
    """While this lasts, memory is accessed through pointers; what was used is given back."""
    found = Surroundings()
    token = _surroundings.set(found)
    try:
        yield found
    finally:
        _surroundings.reset(token)


def offset(value: int) -> Expr:
    """An index that is constant here, and an argument of functions of their own."""
    known = _surroundings.get()
    if known is None:
        return index(value)
    if value not in known.offsets:
        known.offsets[value] = tirx.Var("offset", INDEX)
    return known.offsets[value]


def _seen_from_here(buffer: Buffer) -> Buffer:
    """A buffer, or what stands for it in a function of its own."""
    known = _surroundings.get()
    if known is None or buffer in known.registers:
        return buffer
    found = known.buffers.get(buffer)
    if found is None:
        pointer = tirx.Var(f"{buffer.name}_data", ir.PointerType(ir.PrimType(buffer.dtype)))
        local, declared = seen_from(buffer, pointer)
        found = known.buffers[buffer] = Elsewhere(buffer, local, pointer, declared)
    return found.local


def store(buffer: Buffer, indices: Sequence[Expr], value: Expr) -> Stmt:
    """``buffer[indices] = value``"""
    accessed(buffer, indices)
    if buffer.dtype in _HALVES:
        value = narrowed(value, buffer.dtype)
    here = _seen_from_here(buffer)
    return tirx.BufferStore(here.elements, value, [here.place(indices)])


def load(buffer: Buffer, indices: Sequence[Expr]) -> Expr:
    """``buffer[indices]``; as float32 where it has 16 bits."""
    accessed(buffer, indices)
    found = _element(buffer, indices)
    return widened(found) if buffer.dtype in _HALVES else found


def address_of(buffer: Buffer, indices: Sequence[Expr]) -> Expr:
    """The address of ``buffer[indices]``."""
    return tirx.address_of(_element(buffer, indices))


def _element(buffer: Buffer, indices: Sequence[Expr]) -> Expr:
    """``buffer[indices]`` as it lies in memory."""
    here = _seen_from_here(buffer)
    return tirx.BufferLoad(here.elements, [here.place(indices)])


def ask_for(buffer: Buffer, indices: Sequence[Expr]) -> Stmt:
    """Have the line of memory of an element brought near, to be written soon."""
    place = address_of(buffer, indices)
    numbers = (tirx.IntImm("int32", n) for n in (1, 3, 1))  # to write, near, not code
    return tirx.Evaluate(tirx.call_llvm_intrin("void", "llvm.prefetch", place, *numbers))


def bind(name: str, value: Expr, dtype: str) -> tuple[Expr, Stmt]:
    """A name for a value, and the statement that gives it."""
    variable = tirx.Var(name, dtype)
    return variable, tirx.Bind(variable, value)


def bind_index(name: str, value: Expr) -> tuple[Expr, Stmt]:
    """A name for an index, and the statement that gives it."""
    variable = length(name)
    return variable, give(variable, value)


def give(variable: Expr, value: Expr) -> Stmt:
    """The statement that gives an index its value, by way of memory, which LLVM leaves out again.

    TVM would put the value in place of each use, and simplify all that lies where these numbers
    say: that takes longer than everything else it does.
    """
    buffer, declared = registers((1,), INDEX, str(variable.name))
    held, place = buffer.elements, [index(0)]
    given = tirx.Bind(variable, tirx.BufferLoad(held, place))
    return tirx.SeqStmt([declared, tirx.BufferStore(held, value, place), given])


def below(name: str, extent: int) -> Expr:
    """A variable for an index that is known to be below ``extent``."""
    variable = length(name)
    known = _loops.get()
    if known is not None:
        known.ranges.bind(variable, tvm.ir.Range(index(0), index(extent)))
    return variable


def within(name: str, value: Expr, extent: int) -> tuple[Expr, Stmt]:
    """A name for an index that is known to be below ``extent``, and the statement."""
    variable = below(name, extent)
    return variable, give(variable, value)


def registers(shape: Sequence[int], dtype: str, name: str) -> tuple[Buffer, Stmt]:
    """A small array that LLVM keeps in registers, and its declaration."""
    elements = tirx.decl_buffer((index(prod(shape)),), dtype, name, layout=None)
    buffer = dense(elements, dtype, shape)
    known = _surroundings.get()
    if known is not None:
        known.registers.add(buffer)
    return buffer, tirx.AllocBuffer(elements, annotations={_ON_THE_STACK: tirx.IntImm("bool", 1)})
