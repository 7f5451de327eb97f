"""What kernels need to know of a processor: the width of its vectors, and good tiles."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.backends.tvm.signature import ITEM_BYTES


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor.

    Products hold ``rows`` x ``tile_vectors`` vectors of results in registers, for one row
    ``lone_tiles`` tiles of ``tile_vectors`` at a time: as many as hide the latency of a
    multiplication, and no more than there are registers.  Sums over time hold ``sum_rows``
    instead of ``rows``.
    """

    vector_bytes: int
    rows: int
    sum_rows: int
    lone_tiles: int
    tile_vectors: int = 2

    def width(self, dtype: str) -> int:
        """Elements of one vector."""
        return self.vector_bytes // ITEM_BYTES[dtype]

    def tile(self, dtype: str, size: int) -> int:
        """Results of a row that a product computes together, where a row has ``size``.

        Always a power of two: LLVM keeps no other vectors in registers.
        """
        tile = self.width(dtype) * self.tile_vectors
        while tile // 2 >= size:
            tile //= 2
        return tile


WIDE = Machine(vector_bytes=64, rows=6, sum_rows=8, lone_tiles=2)
USUAL = Machine(vector_bytes=32, rows=6, sum_rows=6, lone_tiles=4)
NARROW = Machine(vector_bytes=16, rows=6, sum_rows=6, lone_tiles=4)


def machine_with(features: frozenset[str]) -> Machine:
    """The machine of a processor with these features, as LLVM names them."""
    if "avx512f" in features and "prefer-256-bit" not in features:
        return WIDE
    return USUAL if "avx" in features else NARROW
