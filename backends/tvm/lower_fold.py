"""Reductions as loop nests: many terms combined into each element of a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_views import Indices
from rnndsl.backends.tvm.tir import Expr, Extent, Stmt


@dataclass(frozen=True, slots=True)
class Fold:
    """``result[row, out] = combine over `over` of term(row, out, over)``.

    The last index of ``out`` comes as a tile and a lane in it, so that a term can read a
    weight packed in such tiles: ``out = (*outer, tile, lane)``.
    """

    rows: Extent
    out: tuple[int, ...]
    over: tuple[Extent, ...]
    term: Callable[[Expr, Indices, Indices], Expr]
    write: Callable[[Expr, Indices, Expr], Stmt]
    combine: Callable[[Expr, Expr], Expr]
    neutral: Expr
    dtype: str


def by_output(fold: Fold, tile: int, rows_at_once: int = 1) -> Stmt | None:
    """A register for each of ``tile`` results of ``rows_at_once`` rows; terms one by one.

    Weights of one tile are read for all rows before the next tile begins.
    """
    full, rest = divmod(fold.out[-1], tile)

    def tiles(outer: Indices) -> Stmt | None:
        def whole(number: Expr) -> Stmt | None:
            return _rows(fold, outer, number, tile, tile, rows_at_once)

        last = _rows(fold, outer, tir.index(full), tile, rest, rows_at_once) if rest else None
        return tir.sequence([tir.loop(full, whole, "tile"), last])

    return tir.nest(fold.out[:-1], tiles, "abcdef")


def _rows(
    fold: Fold, outer: Indices, number: Expr, tile: int, width: int, at_once: int
) -> Stmt | None:
    if isinstance(fold.rows, int) or at_once == 1:
        return tir.loop(
            fold.rows, lambda row: _tile(fold, outer, number, tile, width, row, 1), "row"
        )
    groups = tirx.floordiv(fold.rows, tir.index(at_once))
    return tir.sequence(
        [
            tir.loop(
                groups,
                lambda g: _tile(fold, outer, number, tile, width, g * at_once, at_once),
                "rows",
            ),
            tir.loop(
                tirx.floormod(fold.rows, tir.index(at_once)),
                lambda r: _tile(fold, outer, number, tile, width, groups * at_once + r, 1),
                "row",
            ),
        ]
    )


def _tile(
    fold: Fold, outer: Indices, number: Expr, tile: int, width: int, row: Expr, count: int
) -> Stmt | None:
    total, declared = tir.registers((count, width), fold.dtype, "total")

    def each(body: Callable[[Expr, Expr], Stmt]) -> Stmt | None:
        return tir.unrolled(count, lambda r: tir.vectorized(width, lambda v: body(r, v)), "r")

    def add(over: Indices) -> Stmt | None:
        def one(r: Expr, v: Expr) -> Stmt:
            term = fold.term(row + r, (*outer, number, v), over)
            return tir.store(total, (r, v), fold.combine(tir.load(total, (r, v)), term))

        return each(one)

    def write(r: Expr, v: Expr) -> Stmt:
        return fold.write(row + r, (*outer, number * tile + v), tir.load(total, (r, v)))

    return tir.sequence(
        [
            declared,
            each(lambda r, v: tir.store(total, (r, v), fold.neutral)),
            tir.nest(fold.over, add, "klmn"),
            each(write),
        ]
    )


def by_term(fold: Fold, width: int) -> Stmt | None:
    """One result after the other, ``width`` terms at a time where there are enough."""
    last = fold.over[-1] if fold.over else 1
    wide = width if isinstance(last, int) and last >= 2 * width else 1

    def one(row: Expr, out: Indices) -> Stmt | None:
        total, declared = tir.registers((wide,), fold.dtype, "total")
        place = (*out[:-1], tir.index(0), out[-1]) if out else ()

        def add(lane: Expr, over: Indices) -> Stmt:
            value = fold.combine(tir.load(total, (lane,)), fold.term(row, place, over))
            return tir.store(total, (lane,), value)

        if wide == 1:
            terms = tir.nest(fold.over, lambda over: add(tir.index(0), over), "klmn")
        else:
            terms = tir.nest(fold.over[:-1], lambda over: _lanes(over, last, wide, add), "klmn")
        value = tir.load(total, (tir.index(0),))
        for lane in range(1, wide):
            value = fold.combine(value, tir.load(total, (tir.index(lane),)))
        return tir.sequence(
            [
                declared,
                tir.vectorized(wide, lambda v: tir.store(total, (v,), fold.neutral)),
                terms,
                fold.write(row, out, value),
            ]
        )

    return tir.loop(
        fold.rows, lambda row: tir.nest(fold.out, lambda out: one(row, out), "abcdef"), "row"
    )


def _lanes(
    over: Indices, last: int, wide: int, add: Callable[[Expr, Indices], Stmt]
) -> Stmt | None:
    full, rest = divmod(last, wide)
    return tir.sequence(
        [
            tir.loop(
                full, lambda k: tir.vectorized(wide, lambda v: add(v, (*over, k * wide + v))), "k"
            ),
            tir.loop(rest, lambda k: add(tir.index(0), (*over, k + full * wide)), "k"),
        ]
    )
