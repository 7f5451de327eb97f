"""Memory of a kernel: where an element of a value is in it, and what one loop nest takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.layout import whole_lines
from rnndsl.backends.tvm.lower_views import Indices
from rnndsl.backends.tvm.schedule import Storage
from rnndsl.backends.tvm.signature import Shape
from rnndsl.backends.tvm.tir import Buffer, Expr, Extent


@dataclass(frozen=True, slots=True)
class Block:
    """Rows worked on together: ``count`` of them, the first at ``base`` of the streams
    [T * B, ...] and at ``first`` of the states [B, ...].  ``turn`` is 0 and 1 by turns.  Of states
    with two places a step reads that of ``side``, and writes that of ``other``."""

    count: Extent
    base: Expr
    first: Expr
    turn: Expr = field(default_factory=lambda: tir.index(0))
    side: Expr = field(default_factory=lambda: tir.index(0))
    other: Expr = field(default_factory=lambda: tir.index(0))


@dataclass(frozen=True, slots=True)
class Memory:
    """Where a value is kept: in a buffer, from ``offset`` on along its own first axis.  There are
    two places for a block's rows, with so many ``rows`` each, if that is not 0."""

    storage: Storage
    buffer: Buffer
    offset: int = 0
    rows: int = 0

    def place(self, block: Block, row: Expr, at: Indices) -> tuple[Buffer, Indices]:
        """The buffer and the indices of an element."""
        if self.offset:
            at = (at[0] + tir.offset(self.offset), *at[1:])
        if self.storage in (Storage.SHARED, Storage.PART, Storage.TOTAL):
            return self.buffer, at
        start = {
            Storage.BLOCK: block.other * self.rows if self.rows else tir.index(0),
            Storage.STATE: block.first,
        }
        return self.buffer, (start.get(self.storage, block.base) + row, *at)


@dataclass(slots=True)
class Panels:
    """Memory of one part, given out piece by piece for the time of one loop nest."""

    give: Callable[[str, Shape, int], Buffer]
    taken: int = 0

    def take(self, name: str, shape: Shape) -> Buffer:
        """Memory of a shape, behind what was taken before."""
        found = self.give(name, shape, self.taken)
        self.taken += whole_lines(prod(shape))
        return found
