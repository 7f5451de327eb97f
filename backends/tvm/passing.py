"""How a kernel takes its arrays: as checked tensors, as plain addresses, or in a table."""

from __future__ import annotations

import re

from tvm import ir, tirx

from rnndsl.backends.tvm import tir
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
        self._addresses: dict[Buffer, Expr] = {}
        # Known only in a TABLE: where it is, and how many numbers are in it.
        self.table = tirx.Var("table", ir.PointerType(ir.PrimType(tir.INDEX)))
        self.numbers = tir.length("numbers")

    def buffer(self, name: str, shape: tuple[Extent, ...], dtype: str = "") -> Buffer:
        """An argument of a shape, of another type than usual if ``dtype`` says so."""
        kind = dtype or self._dtype
        memory, itemsize = MEMORY.get(kind, kind), ITEM_BYTES[kind]
        if self._kind is Passed.TENSORS:
            return tir.argument(name, shape, memory, itemsize)
        address = tir.length(f"{name}_address")
        buffer, declared = tir.at_address(address, name, shape, memory, itemsize)
        self.declarations += declared
        self._addresses[buffer] = address
        return buffer

    def params(self, buffers: list[Buffer], lengths: list[Expr]) -> tuple[list[Expr], list[Stmt]]:
        """The parameters of the function, for arguments in this order, and the statements that
        find the arguments in them."""
        if self._kind is Passed.TENSORS:
            return buffers, []
        numbers = [*(self._addresses[buffer] for buffer in buffers), *lengths]
        if self._kind is Passed.ADDRESSES:
            return numbers, []
        size = (tir.index(len(numbers)),)
        table = tirx.decl_buffer(size, tir.INDEX, "table", data=self.table)
        found = [
            tirx.Bind(number, tir.load(table, (tir.index(place),)))
            for place, number in enumerate(numbers)
        ]
        count = tirx.Bind(self.numbers, tir.index(len(numbers)))
        return [self.table], [tirx.DeclBuffer(table, data=self.table), count, *found]
