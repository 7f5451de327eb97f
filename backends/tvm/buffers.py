"""Arrays of any shape in memory where their elements follow each other.

TVM's code for a processor knows one index of an element.  It is made here: TVM's own pass for it,
which writes each index in its shortest form, takes longer than all of its others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tvm import ir, tirx

from rnndsl.backends.tvm.tir_types import Expr, Extent, Stmt

INDEX = "int64"
# Of memory whose length nobody asks for.
_ANY_LENGTH = 1 << 48


@lru_cache(maxsize=1 << 12)
def index(value: int) -> Expr:
    """A constant index."""
    return tirx.IntImm(INDEX, value)


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A dense array: ``elements`` as TVM has them, the first of them at ``offset`` (None: at 0),
    and how many there are between neighbours along each axis."""

    elements: Any
    dtype: str
    strides: tuple[Extent, ...]
    offset: Expr | None = None

    @property
    def name(self) -> str:
        return str(self.elements.name)

    def distance(self, indices: Sequence[Expr]) -> Expr:
        """How many elements there are from the first to another one."""
        return self._sum(None, indices)

    def place(self, indices: Sequence[Expr]) -> Expr:
        """The index in ``elements``; a vector if one of ``indices`` is."""
        return self._sum(self.offset, indices)

    def _sum(self, total: Expr | None, indices: Sequence[Expr]) -> Expr:
        vector = None
        for stride, at in zip(self.strides, indices, strict=True):
            if at is _ZERO:
                continue
            if isinstance(at, tirx.Ramp):
                vector, at = tirx.Ramp(_ZERO, at.stride * stride, at.lanes), at.base
            step = at if stride == 1 else at * stride
            total = step if total is None else total + step
        total = _ZERO if total is None else total
        return total if vector is None else tirx.Ramp(total, vector.stride, vector.lanes)


_ZERO = index(0)


def dense(elements: Any, dtype: str, shape: Sequence[Extent], offset: Expr | None = None) -> Buffer:
    """An array of a shape in TVM's ``elements``."""
    strides: list[Extent] = [1] * len(shape)
    for axis in range(len(shape) - 1, 0, -1):
        strides[axis - 1] = strides[axis] * shape[axis]
    return Buffer(elements, dtype, tuple(strides), offset)


def at_pointer(
    pointer: Expr, name: str, shape: Sequence[Extent], dtype: str, itemsize: int
) -> tuple[Buffer, Stmt]:
    """A dense array from a pointer on, and its declaration; aligned to its elements, nothing more
    is assumed."""
    elements = _memory(pointer, name, dtype, itemsize)
    return dense(elements, dtype, shape), tirx.DeclBuffer(elements, data=pointer)


def at_address(
    address: Expr, name: str, shape: Sequence[Extent], dtype: str, itemsize: int
) -> tuple[Buffer, list[Stmt]]:
    """A dense array at an address, and its declaration."""
    kind = ir.PointerType(ir.PrimType(dtype))
    pointer = tirx.Var(f"{name}_data", kind)
    buffer, declared = at_pointer(pointer, name, shape, dtype, itemsize)
    return buffer, [tirx.Bind(pointer, tirx.reinterpret(kind, address)), declared]


def argument(
    name: str, shape: Sequence[Extent], dtype: str, itemsize: int
) -> tuple[Buffer, Expr, Stmt]:
    """A dense array passed by the caller, the parameter that TVM checks, and the declaration."""
    sizes = tuple(index(s) if isinstance(s, int) else s for s in shape)
    param = tirx.decl_buffer(sizes, dtype, name, data_alignment=itemsize, layout=None)
    buffer, declared = at_pointer(param.data, name, shape, dtype, itemsize)
    return buffer, param, declared


def view_of(base: Buffer, name: str, shape: Sequence[Extent], offset: Expr) -> tuple[Buffer, Stmt]:
    """Elements of all of ``base`` from ``offset`` on in another shape, and the declaration."""
    elements, data = base.elements, base.elements.data
    seen = _memory(data, name, base.dtype, elements.data_alignment)
    return dense(seen, base.dtype, shape, offset), tirx.DeclBuffer(seen, data=data)


def seen_from(buffer: Buffer, pointer: Expr) -> tuple[Buffer, Stmt]:
    """The same array where there is only a pointer to its first element, and the declaration."""
    elements = buffer.elements
    seen = _memory(pointer, buffer.name, buffer.dtype, elements.data_alignment)
    return Buffer(seen, buffer.dtype, buffer.strides), tirx.DeclBuffer(seen, data=pointer)


def _memory(data: Expr, name: str, dtype: str, alignment: int) -> Any:
    length = index(_ANY_LENGTH)
    return tirx.decl_buffer(
        (length,), dtype, name, data=data, data_alignment=alignment, layout=None
    )
