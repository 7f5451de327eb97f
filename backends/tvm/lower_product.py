"""Products as loops around a tile of results that are held in registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_views import Indices
from rnndsl.backends.tvm.tir import Expr, Extent, Stmt


def add(a: Expr, b: Expr) -> Expr:
    """The sum: how the terms of a product are combined."""
    return a + b


Nest = Callable[[Callable[[Indices], Stmt | None]], Stmt | None]


@dataclass(frozen=True, slots=True)
class Product:
    """``result[row, outer, i] = combine over `over` of term(row, outer, tile, over, lane)``.

    Here ``i = tile * self.tile + lane``, so that a term can read a weight packed in tiles.
    ``over`` makes the loops over the terms.
    """

    rows: Extent
    outer: tuple[int, ...]
    size: int
    over: Nest
    term: Callable[[Expr, Indices, Expr, Indices, Expr], Expr]
    write: Callable[[Expr, Indices, Expr], Stmt]
    tile: int
    neutral: Expr
    combine: Callable[[Expr, Expr], Expr] = add

    @property
    def dtype(self) -> str:
        return str(self.neutral.ty.dtype)


def product(found: Product, rows_at_once: int, lone_tiles: int) -> Stmt | None:
    """A register for every result of ``rows_at_once`` rows in a tile.

    What is left of the rows goes in pairs, then one by one with ``lone_tiles`` tiles at a
    time.  A tile of weights is read for all rows before the next tile begins.
    """

    def at(outer: Indices) -> Stmt | None:
        done: Extent = 0
        left, parts = found.rows, list[Stmt | None]()
        for count in (n for n in (rows_at_once, 2) if n > 1):
            groups = _quotient(left, count)
            parts.append(_tiles(found, outer, groups, done, count))
            done, left = done + groups * count, _remainder(left, count)
        parts.append(_lone(found, outer, left, done, lone_tiles))
        return tir.sequence(parts)

    return tir.nest(found.outer, at, "abcdef")


def _quotient(count: Extent, by: int) -> Extent:
    return count // by if isinstance(count, int) else tirx.floordiv(count, tir.index(by))


def _remainder(count: Extent, by: int) -> Extent:
    return count % by if isinstance(count, int) else tirx.floormod(count, tir.index(by))


def _tiles(found: Product, outer: Indices, groups: Extent, first: Extent, rows: int) -> Stmt | None:
    """All tiles, one by one, for ``groups`` groups of rows."""
    full, rest = divmod(found.size, found.tile)

    def tile(number: Expr, width: int) -> Stmt | None:
        return tir.loop(
            groups,
            lambda g: _block(found, outer, g * rows + first, rows, number, 1, width),
            "rows",
        )

    return tir.sequence(
        [
            tir.loop(full, lambda number: tile(number, found.tile), "tile"),
            tile(tir.index(full), rest) if rest else None,
        ]
    )


def _lone(found: Product, outer: Indices, rows: Extent, first: Extent, tiles: int) -> Stmt | None:
    """Rows one by one, ``tiles`` tiles at a time."""
    full, rest = divmod(found.size, found.tile)
    groups, left = divmod(full, tiles)

    def row(r: Expr) -> Stmt | None:
        at, last = r + first, tir.index(groups * tiles)
        whole = found.tile
        return tir.sequence(
            [
                tir.loop(
                    groups,
                    lambda g: _block(found, outer, at, 1, g * tiles, tiles, whole),
                    "tiles",
                ),
                _block(found, outer, at, 1, last, left, whole) if left else None,
                _block(found, outer, at, 1, tir.index(full), 1, rest) if rest else None,
            ]
        )

    return tir.loop(rows, row, "row")


def _block(
    found: Product, outer: Indices, row: Expr, rows: int, tile: Expr, tiles: int, width: int
) -> Stmt | None:
    """``rows`` x ``tiles`` tiles of which the first ``width`` results count."""
    lanes = 1 << (width - 1).bit_length()
    total, declared = tir.registers((rows, tiles, lanes), found.dtype, "total")

    def each(body: Callable[[Expr, Expr, Expr], Stmt]) -> Stmt | None:
        return tir.unrolled(
            rows,
            lambda r: tir.unrolled(
                tiles, lambda s: tir.vectorized(lanes, lambda v: body(r, s, v)), "s"
            ),
            "r",
        )

    def advance(over: Indices) -> Stmt | None:
        def one(r: Expr, s: Expr, v: Expr) -> Stmt:
            term = found.term(row + r, outer, tile + s, over, v)
            return tir.store(total, (r, s, v), found.combine(tir.load(total, (r, s, v)), term))

        return each(one)

    return tir.sequence(
        [
            declared,
            each(lambda r, s, v: tir.store(total, (r, s, v), found.neutral)),
            found.over(advance),
            _write(found, outer, row, rows, tile, tiles, width, total),
        ]
    )


def _write(
    found: Product,
    outer: Indices,
    row: Expr,
    rows: int,
    tile: Expr,
    tiles: int,
    width: int,
    total: tir.Buffer,
) -> Stmt | None:
    def part(r: Expr, s: Expr, start: int, count: int) -> Stmt | None:
        def lane(v: Expr) -> Stmt:
            place = (*outer, (tile + s) * found.tile + start + v)
            return found.write(row + r, place, tir.load(total, (r, s, v + start)))

        return tir.vectorized(count, lane)

    return tir.unrolled(
        rows,
        lambda r: tir.unrolled(
            tiles,
            lambda s: tir.sequence([part(r, s, start, n) for start, n in tir.powers(width)]),
            "s",
        ),
        "r",
    )
