"""How a kernel takes its arrays: as checked tensors, as plain addresses, or in a table."""

from __future__ import annotations

import re

from tvm import ir, tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.buffers import argument, at_address, at_pointer
from rnndsl.backends.tvm.half_floats import MEMORY
from rnndsl.backends.tvm.options import Passed
from rnndsl.backends.tvm.signature import ITEM_BYTES
from rnndsl.backends.tvm.tir import Buffer, Expr, Extent, Stmt


def plain(name: str) -> str:
    """A name that TVM script can show."""
    return re.sub(r"\W", "_", name.replace("'", "_next"))


class Passing:
    """Makes the buffers of arguments.

    Tensors tell their shapes, which the kernel checks.  Addresses are taken on trust: the
    lengths that the shapes would tell follow as further arguments.  They cost less in each
    call, and much less to compile where there are many.
    """

    def __init__(self, kind: Passed, dtype: str) -> None:
        self.declarations: list[Stmt] = []
        self._kind, self._dtype = kind, dtype
        # How the caller passes each: the tensor, or its address.
        self._given: dict[Buffer, Expr] = {}
        # Known only in a TABLE: where it is, and how many numbers are in it.
        self.table = tirx.Var("table", ir.PointerType(ir.PrimType(tir.INDEX)))
        self.numbers = tir.length("numbers")

    def buffer(self, name: str, shape: tuple[Extent, ...], dtype: str = "") -> Buffer:
        """An argument of a shape, of another type than usual if ``dtype`` says so."""
        kind = dtype or self._dtype
        memory, itemsize = MEMORY.get(kind, kind), ITEM_BYTES[kind]
        if self._kind is Passed.TENSORS:
            buffer, given, declared = argument(name, shape, memory, itemsize)
            self.declarations.append(declared)
        else:
            given = tir.length(f"{name}_address")
            buffer, found = at_address(given, name, shape, memory, itemsize)
            self.declarations += found
        self._given[buffer] = given
        return buffer

    def params(self, buffers: list[Buffer], lengths: list[Expr]) -> tuple[list[Expr], list[Stmt]]:
        """The parameters of the function, for arguments in this order, and the statements that
        find the arguments in them."""
        given = [self._given[buffer] for buffer in buffers]
        if self._kind is Passed.TENSORS:
            return given, []
        numbers = [*given, *lengths]
        if self._kind is Passed.ADDRESSES:
            return numbers, []
        size = (len(numbers),)
        table, declared = at_pointer(self.table, "table", size, tir.INDEX, ITEM_BYTES["float64"])
        found = [
            tirx.Bind(number, tir.load(table, (tir.index(place),)))
            for place, number in enumerate(numbers)
        ]
        count = tirx.Bind(self.numbers, tir.index(len(numbers)))
        return [self.table], [declared, count, *found]
