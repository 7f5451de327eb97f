"""Loops over the elements of rows, in vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_views import Indices, Sizes
from rnndsl.backends.tvm.neighbours import in_one_piece, side_by_side, vector_axis
from rnndsl.backends.tvm.team import Team
from rnndsl.backends.tvm.tir import Expr, Extent, Scope, Stmt
from rnndsl.backends.tvm.work import PIECE

_ALONE = Team()
# What is done to the elements of a row from some indices on, in the lanes of registers.
Vector = Callable[[Expr, Indices, Scope], Stmt | None]


def each_vector(
    rows: Extent,
    sizes: Sizes,
    width: int,
    body: Vector,
    team: Team = _ALONE,
) -> Stmt | None:
    """``body`` for every row and element, the last axis in vectors, with their registers.

    The parts of ``team`` share the first axis, in units if it is the only one, or in the pieces
    of parts that are apart.  Where the last axis has but one element, vectors run along the one
    before it, if its elements lie side by side; what parts share is cut as if they did not.
    Where parts share nothing, last axes that lie in one piece are one.
    """
    sizes, body = (sizes, body) if team.is_shared else _joined(sizes, body)
    axis = len(sizes) - 1 if team.is_shared else vector_axis(sizes)
    outer, last = (sizes[:axis], sizes[axis]) if sizes else ((), 1)
    ones = tuple(tir.index(0) for _ in sizes[axis + 1 :])

    def line(row: Expr, at: Indices) -> Stmt | None:
        def vector(i: Expr, scope: Scope) -> Stmt | None:
            return body(row, (*at, i, *ones) if sizes else (), scope)

        if ones and not side_by_side(lambda i: vector(i, Scope(1)), last):
            return tir.lanes(last, 1, vector)
        if team.is_shared and len(sizes) == 1:
            return _shared_lanes(last, width, vector, team)
        return tir.lanes(last, width, vector)

    def lines(row: Expr) -> Stmt | None:
        if not team.is_shared or not outer:
            return tir.nest(outer, lambda at: line(row, at), "abcdef")
        unit = PIECE if team.apart else 1
        count = outer[0] // unit
        start, stop, shared = team.share(tir.index(count), 1)

        def one(number: Expr) -> Stmt | None:
            first, named = tir.within("first", start * unit + number, outer[0])
            inner = tir.nest(outer[1:], lambda at: line(row, (first, *at)), "bcdef")
            return None if inner is None else tir.sequence([named, inner])

        rest = tir.nest(
            (outer[0] % unit, *outer[1:]),
            lambda at: line(row, (at[0] + count * unit, *at[1:])),
            "abcdef",
        )
        shares = tir.loop((stop - start) * unit, one, "a")
        return tir.sequence([*shared, shares, team.last_alone(rest)])

    return tir.rows(rows, lines)


def _joined(sizes: Sizes, body: Vector) -> tuple[Sizes, Vector]:
    """The same loops, the last axes as one if they lie in one piece: there are fewer edges of
    vectors, and less code."""
    wide = [k for k, size in enumerate(sizes) if size != 1]
    if len(wide) < 2 or 0 in sizes:
        return sizes, body
    some, zero = tuple(sizes[k] for k in wide), tir.index(0)

    def spread(at: Sequence[Expr]) -> Indices:
        known = dict(zip(wide, at, strict=True))
        return tuple(known.get(k, zero) for k in range(len(sizes)))

    row = tir.length("row")
    count = in_one_piece(lambda at: body(row, spread(at), Scope(1)), some)
    if count == 1:
        return sizes, body

    def joined(row: Expr, at: Indices, scope: Scope) -> Stmt | None:
        return body(row, spread((*at[:-1], *[zero] * (count - 1), at[-1])), scope)

    return (*some[:-count], prod(some[-count:])), joined


def _shared_lanes(
    extent: int, width: int, body: Callable[[Expr, Scope], Stmt | None], team: Team
) -> Stmt | None:
    """As :func:`tir.lanes`, for the share of a part in units; the last one also takes what is
    left."""
    size = team.unit
    count = extent // size
    start, stop, shared = team.share(tir.index(count), 1)

    def unit(number: Expr) -> Stmt | None:
        return tir.lanes(size, width, lambda i, scope: body((start + number) * size + i, scope))

    rest = tir.lanes(extent % size, width, lambda i, scope: body(i + count * size, scope))
    return tir.sequence(
        [*shared, tir.loop(stop - start, unit, "unit"), team.last_alone(rest) if rest else None]
    )


def each_element(
    rows: Extent, sizes: Sizes, width: int, body: Callable[[Expr, Indices], Stmt | None]
) -> Stmt | None:
    """``body`` for every row and element, the last axis in vectors."""
    return each_vector(rows, sizes, width, lambda row, at, scope: body(row, at))
