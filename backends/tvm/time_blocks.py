"""How a kernel goes through time: all at once, or block by block, adding up its totals.

Whoever runs the blocks of a sequence one by one, each with a call of its own that adds to the
totals of the calls before, gets the same bits: every block does the same arithmetic either way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.tir import Expr, Stmt


@dataclass(frozen=True, slots=True)
class TimeBlocks:
    """``steps`` of the present block, the first of them at step ``origin`` of the streams, of
    ``whole`` steps in all.  ``first`` is 1 for the block that finds nothing in the totals.

    ``lengths`` are arguments of the kernel: the steps of a block, and whether to add to what
    the totals hold (1) or not (0).  Without them there is one block.
    """

    whole: Expr
    steps: Expr
    origin: Expr
    first: Expr
    lengths: tuple[Expr, ...] = ()

    @property
    def fresh(self) -> Expr:
        """Whether totals hold nothing yet."""
        return self.first > 0

    @classmethod
    def of_call(cls, several: bool) -> TimeBlocks:
        """All steps of a call at once, or ``several`` blocks."""
        whole = tir.length("steps")
        if not several:
            return cls(whole, whole, tir.index(0), tir.index(1))
        lengths = tir.length("block_steps"), tir.length("added")
        steps, origin, first = (tir.length(name) for name in ("now", "origin", "first"))
        return cls(whole, steps, origin, first, lengths)

    def each(self, body: Callable[[], Stmt | None], reverse: bool) -> Stmt | None:
        """``body`` for every block in the order of time; the first one is what whole blocks
        leave of the sequence."""
        if not self.lengths:
            return body()
        size, added = self.lengths
        count = tirx.truncdiv(self.whole + (size - 1), size)
        least = self.whole - (count - 1) * size

        def one(number: Expr) -> Stmt | None:
            is_first = tirx.EQ(number, tir.index(0))
            steps = tirx.Select(is_first, least, size)
            done = tirx.Select(is_first, tir.index(0), least + (number - 1) * size)
            origin = self.whole - done - steps if reverse else done
            first = tirx.Select(is_first, 1 - added, tir.index(0))
            bound = ((self.steps, steps), (self.origin, origin), (self.first, first))
            named = (tir.give(name, value) for name, value in bound)
            return tir.sequence([*named, body()])

        return tir.loop(count, one, "block")
