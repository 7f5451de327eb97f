"""How a kernel takes its arrays: as checked tensors, or as plain addresses."""

from __future__ import annotations

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.signature import ITEM_BYTES
from rnndsl.backends.tvm.tir import Buffer, Expr, Extent, Stmt


class Passing:
    """Makes the buffers of arguments.

    Tensors tell their shapes, which the kernel checks.  Addresses are taken on trust: the
    lengths that the shapes would tell follow as further arguments.  They cost less in each
    call, and much less to compile where there are many.
    """

    def __init__(self, by_address: bool, dtype: str) -> None:
        self.declarations: list[Stmt] = []
        self._by_address, self._dtype = by_address, dtype
        self._addresses: list[tuple[Buffer, Expr]] = []

    def buffer(self, name: str, shape: tuple[Extent, ...]) -> Buffer:
        """An argument of a shape."""
        itemsize = ITEM_BYTES[self._dtype]
        if not self._by_address:
            return tir.argument(name, shape, self._dtype, itemsize)
        address = tir.length(f"{name}_address")
        buffer, declared = tir.at_address(address, name, shape, self._dtype, itemsize)
        self.declarations += declared
        self._addresses.append((buffer, address))
        return buffer

    def params(self, buffers: list[Buffer], lengths: list[Expr]) -> list[Expr]:
        """The parameters of the function, for arguments in this order."""
        if not self._by_address:
            return buffers
        found = []
        for buffer in buffers:
            found += [address for known, address in self._addresses if known.same_as(buffer)]
        return [*found, *lengths]
