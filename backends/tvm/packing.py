"""Weights put into the layout of a kernel by the kernel itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_views import Indices, Read, Sizes
from rnndsl.backends.tvm.signature import Packing
from rnndsl.backends.tvm.tir import Buffer, Expr, Stmt

# Elements of a row moved before the next row: few enough that what is written stays in the
# first cache until the lines are full.
_RUN = 64


def pack(packing: Packing, sizes: Sizes, read: Read, packed: Buffer, zero: Expr) -> Stmt | None:
    """Statements that do what :meth:`Packing.pack` does."""
    order, position, tile = packing.order, packing.position, packing.tile
    ordered = [sizes[axis] for axis in order]
    size = ordered[position]
    before, after = ordered[:position], ordered[position + 1 :]
    row = tir.index(0)

    def element(lead: Indices, number: Expr, rest: Indices, lane: Expr) -> Stmt:
        place = (*lead, number * tile + lane, *rest)
        source = tuple(place[order.index(axis)] for axis in range(len(order)))
        return tir.store(packed, (*lead, number, *rest, lane), read(row, source))

    def one(lead: Indices, number: Expr, lanes: int) -> Stmt | None:
        if order[position] == len(order) - 1 or not after:
            return tir.nest(
                after,
                lambda rest: tir.sequence(
                    [
                        tir.vectorized(
                            width,
                            lambda v, at=start: element(lead, number, rest, v + at),  # type: ignore[misc]
                        )
                        for start, width in tir.powers(lanes)
                    ]
                ),
                "klmn",
            )
        return _transposed(after, lanes, lambda rest, lane: element(lead, number, rest, lane))

    def tiles(lead: Indices) -> Stmt | None:
        full, left = divmod(size, tile)
        last = tir.index(full)
        padding = tir.nest(
            [*after, tile - left],
            lambda at: tir.store(packed, (*lead, last, *at[:-1], at[-1] + left), zero),
            "klmnp",
        )
        return tir.sequence(
            [
                tir.loop(full, lambda number: one(lead, number, tile), "tile"),
                *((one(lead, last, left), padding) if left else ()),
            ]
        )

    return tir.nest(before, tiles, "abcdef")


def _transposed(
    after: Sequence[int], lanes: int, element: Callable[[Indices, Expr], Stmt]
) -> Stmt | None:
    """Runs of each row, so that rows are read in lines and written while those are at hand."""
    *others, last = after
    full, rest = divmod(last, _RUN)

    def runs(lead: Indices) -> Stmt | None:
        def run(start: Expr, count: int) -> Stmt | None:
            return tir.loop(
                lanes,
                lambda lane: tir.loop(count, lambda k: element((*lead, start + k), lane), "k"),
                "lane",
            )

        return tir.sequence(
            [
                tir.loop(full, lambda n: run(n * _RUN, _RUN), "run"),
                run(tir.index(full * _RUN), rest) if rest else None,
            ]
        )

    return tir.nest(others, runs, "klmn")
