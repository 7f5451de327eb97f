"""Reductions as loop nests: many terms combined into each element of a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_product import Product, product
from rnndsl.backends.tvm.lower_views import Indices
from rnndsl.backends.tvm.tir import Expr, Extent, Stmt

# Vectors in which one result is summed up: enough to hide the latency of an addition.
_CHAINS = 4


@dataclass(frozen=True, slots=True)
class Fold:
    """``result[row, out] = combine over `over` of term(row, out, over)``.

    The last index of ``out`` comes as a tile and a lane in it.
    """

    rows: Extent
    out: tuple[int, ...]
    over: tuple[Extent, ...]
    term: Callable[[Expr, Indices, Indices], Expr]
    write: Callable[[Expr, Indices, Expr], Stmt]
    combine: Callable[[Expr, Expr], Expr]
    neutral: Expr

    @property
    def dtype(self) -> str:
        return str(self.neutral.ty.dtype)


def by_output(fold: Fold, tile: int) -> Stmt | None:
    """A register for each of ``tile`` results; terms one by one."""
    found = Product(
        fold.rows,
        fold.out[:-1],
        fold.out[-1],
        lambda body: tir.nest(fold.over, body, "klmn", once=tile == 1),
        lambda row, outer, number, over, lane: fold.term(row, (*outer, number, lane), over),
        fold.write,
        tile,
        fold.neutral,
        fold.combine,
    )
    return product(found, 1, 1)


def by_term(fold: Fold, width: int) -> Stmt | None:
    """One result after the other, ``width`` terms at a time where there are enough."""
    last = fold.over[-1] if fold.over else 1
    wide = 1
    while isinstance(last, int) and wide < width * _CHAINS and last >= 2 * wide * _CHAINS:
        wide *= 2
    if wide < width:
        wide = 1

    def one(row: Expr, out: Indices) -> Stmt | None:
        total, declared = tir.registers((wide,), fold.dtype, "total")
        place = (*out[:-1], tir.index(0), out[-1]) if out else ()

        def add(lane: Expr, over: Indices) -> Stmt:
            value = fold.combine(tir.load(total, (lane,)), fold.term(row, place, over))
            return tir.store(total, (lane,), value)

        if wide == 1:
            # One term after the other: nothing is gained where the loop is written out.
            terms = tir.nest(fold.over, lambda over: add(tir.index(0), over), "klmn", once=True)
        else:
            terms = tir.nest(fold.over[:-1], lambda over: _lanes(over, last, wide, add), "klmn")
        declarations, halvings, value = _halved(fold, total, wide)
        return tir.sequence(
            [
                declared,
                *declarations,
                tir.vectorized(wide, lambda v: tir.store(total, (v,), fold.neutral)),
                terms,
                *halvings,
                fold.write(row, out, value),
            ]
        )

    return tir.loop(
        fold.rows, lambda row: tir.nest(fold.out, lambda out: one(row, out), "abcdef"), "row"
    )


def _halved(fold: Fold, total: tir.Buffer, wide: int) -> tuple[list[Stmt], list[Stmt | None], Expr]:
    """The lanes combined, half of them with the other half at a time."""
    declarations, statements = list[Stmt](), list[Stmt | None]()
    while wide > 1:
        wide //= 2
        half, declared = tir.registers((wide,), fold.dtype, "half")

        def combine(v: Expr, source: tir.Buffer = total, wide: int = wide) -> Expr:
            return fold.combine(tir.load(source, (v,)), tir.load(source, (v + wide,)))

        def keep(
            v: Expr, half: tir.Buffer = half, combined: Callable[[Expr], Expr] = combine
        ) -> Stmt:
            return tir.store(half, (v,), combined(v))

        declarations.append(declared)
        statements.append(tir.vectorized(wide, keep))
        total = half
    return declarations, statements, tir.load(total, (tir.index(0),))


def _lanes(
    over: Indices, last: int, wide: int, add: Callable[[Expr, Indices], Stmt]
) -> Stmt | None:
    full, rest = divmod(last, wide)
    return tir.sequence(
        [
            tir.loop(
                full, lambda k: tir.vectorized(wide, lambda v: add(v, (*over, k * wide + v))), "k"
            ),
            tir.loop(rest, lambda k: add(tir.index(0), (*over, k + full * wide)), "k", once=True),
        ]
    )
