"""Reductions as loop nests: many terms combined into each element of a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tvm import tirx

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

    return tir.rows(fold.rows, lambda row: tir.nest(fold.out, lambda out: one(row, out), "abcdef"))


def is_short(fold: Fold, width: int) -> bool:
    """Whether :func:`by_short` takes a fold: one axis of few terms, a power of two of them."""
    if len(fold.over) != 1 or not fold.out:
        return False
    (count,) = fold.over
    return isinstance(count, int) and 2 <= count <= width and count.bit_count() == 1


def by_short(fold: Fold) -> Stmt | None:
    """As many results at a time as each has terms, which lie side by side.

    Neighbours in two vectors are combined into one vector of half as many terms of each, until
    there is one vector, of results.
    """
    count = fold.over[-1]
    assert isinstance(count, int)
    full, rest = divmod(fold.out[-1], count)

    def some(row: Expr, outer: Indices, number: Expr) -> Stmt | None:
        lines, declared = tir.registers((count, count), fold.dtype, "lines")
        total, found = tir.registers((count,), fold.dtype, "total")
        statements = list[Stmt]()

        def keep(vector: Expr) -> Expr:
            name, named = tir.bind("some", vector, f"{fold.dtype}x{count}")
            statements.append(named)
            return name

        def line(k: Expr) -> Stmt | None:
            place = (*outer, tir.index(0), number * count + k)
            return tir.vectorized(
                count, lambda v: tir.store(lines, (k, v), fold.term(row, place, (v,)))
            )

        along = tirx.Ramp(tir.index(0), tir.index(1), count)
        vectors = [keep(tir.load(lines, (tir.index(k), along))) for k in range(count)]
        while len(vectors) > 1:
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [keep(_neighbours(fold, one, other, count)) for one, other in pairs]
        return tir.sequence(
            [
                declared,
                found,
                *(line(tir.index(k)) for k in range(count)),
                *statements,
                tir.store(total, (along,), vectors[0]),
                tir.vectorized(
                    count,
                    lambda v: fold.write(row, (*outer, number * count + v), tir.load(total, (v,))),
                ),
            ]
        )

    def results(row: Expr, outer: Indices) -> Stmt | None:
        return tir.loop(full, lambda number: some(row, outer, number), "results")

    def each(row: Expr) -> Stmt | None:
        return tir.nest(fold.out[:-1], lambda outer: results(row, outer), "abcdef")

    left = replace(
        fold,
        out=(*fold.out[:-1], rest),
        term=lambda row, out, over: fold.term(row, (*out[:-1], out[-1] + full * count), over),
        write=lambda row, out, value: fold.write(row, (*out[:-1], out[-1] + full * count), value),
    )
    return tir.sequence([tir.rows(fold.rows, each), by_term(left, 1) if rest else None])


def _neighbours(fold: Fold, one: Expr, other: Expr, count: int) -> Expr:
    """Each two neighbours in two vectors combined."""
    even, odd = (tirx.Shuffle([one, other], _every_second(k, count)) for k in (0, 1))
    return fold.combine(even, odd)


def _every_second(start: int, count: int) -> list[Expr]:
    return [tir.index(k) for k in range(start, 2 * count, 2)]


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
