"""Products as loops around a tile of results that are held in registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_views import Indices
from rnndsl.backends.tvm.team import Team
from rnndsl.backends.tvm.tir import Buffer, Expr, Extent, Stmt


def add(a: Expr, b: Expr) -> Expr:
    """The sum: how the terms of a product are combined."""
    return a + b


_ALONE = Team()
# Elements of a line of memory.
_LINE = 16
# Vectors of which a tile each is computed at once.
_VECTORS = 3
Nest = Callable[[Callable[[Indices], Stmt | None]], Stmt | None]


@dataclass(frozen=True, slots=True)
class Tiles:
    """``count`` tiles from ``first`` on, each ``apart`` from the last, of which the first
    ``width`` results count."""

    first: Expr
    count: int
    width: int
    apart: int = 1

    def at(self, number: Expr) -> Expr:
        """Where a tile is."""
        return self.first + number * self.apart

    def each(self, body: Callable[[Tiles], Stmt | None]) -> Stmt | None:
        """``body`` for one tile after the other."""
        return tir.loop(self.count, lambda k: body(Tiles(self.at(k), 1, self.width)), "tile")


@dataclass(frozen=True, slots=True)
class Product:
    """``result[row, outer, i] = combine over `over` of term(row, outer, tile, over, lane)``.

    Here ``i = tile * self.tile + lane``, so that a term can read a weight packed in tiles.
    ``over`` makes the loops over the terms.  Where ``turn`` is 1 and not 0, tiles are taken in
    the opposite order: what was read last, and is still in the cache, is then read first.
    ``whole`` promises that ``rows`` is a multiple of those that are computed at once.
    ``place`` says where results go, which is asked for from memory before it is needed.
    ``block(row, outer, rows, tiles)`` is, where it is given, the code for some rows and tiles.
    ``vectors`` are those that results consist of, if threads share each of them in units.
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
    turn: Expr | None = None
    whole: bool = False
    place: Callable[[Expr, Indices], tuple[Buffer, Indices]] | None = None
    block: Callable[[Expr, Indices, int, Tiles], Stmt] | None = None
    vectors: int = 0

    @property
    def dtype(self) -> str:
        return str(self.neutral.ty.dtype)


def product(found: Product, rows_at_once: int, lone_tiles: int, team: Team = _ALONE) -> Stmt | None:
    """A register for every result of ``rows_at_once`` rows in a tile.

    What is left of the rows goes in pairs, then one by one with ``lone_tiles`` tiles at a
    time.  The weights of these tiles are read for all rows before the next ones.  The parts
    of ``team`` share the tiles.
    """

    def at(outer: Indices) -> Stmt | None:
        def some(tiles: Tiles) -> Stmt | None:
            return _rows(found, outer, rows_at_once, tiles)

        if found.vectors > 1:
            return _side_by_side(found, lone_tiles, team, some)
        return _in_a_row(found, lone_tiles, team, some)

    return tir.nest(found.outer, at, "abcdef")


def _in_a_row(
    found: Product, lone_tiles: int, team: Team, some: Callable[[Tiles], Stmt | None]
) -> Stmt | None:
    """``some`` neighbouring tiles after the other."""
    tile = found.tile
    full, rest = divmod(found.size, tile)
    unit = team.unit // tile if found.vectors else lone_tiles
    together = min(lone_tiles, unit)
    each = unit // together
    units, left = divmod(full, unit)
    start, stop, shared = team.share(tir.index(units), 1)
    count = (stop - start) * each if team.is_shared else units * each

    def group(number: Expr) -> Stmt | None:
        place = start * each + _by_turns(found, number, count)
        return some(Tiles(place * together, together, tile))

    def other(number: Expr) -> Stmt | None:
        return some(Tiles(number * together + units * unit, together, tile))

    groups, alone = divmod(left, together)
    others = tir.sequence(
        [
            tir.loop(groups, other, "tiles"),
            some(Tiles(tir.index(full - alone), alone, tile)) if alone else None,
            some(Tiles(tir.index(full), 1, rest)) if rest else None,
        ]
    )
    return tir.sequence([*shared, tir.loop(count, group, "tiles"), team.last_alone(others)])


def _side_by_side(
    found: Product, lone_tiles: int, team: Team, some: Callable[[Tiles], Stmt | None]
) -> Stmt | None:
    """``some`` tiles after the other that are in the same place of several vectors."""
    length = found.size // found.vectors // found.tile
    most = max(lone_tiles, _VECTORS)
    together = max(k for k in range(1, most + 1) if found.vectors % k == 0)
    sets, unit = found.vectors // together, team.unit // found.tile
    start, stop, shared = team.share(tir.index(length // unit), 1)
    count = (stop - start) * unit if team.is_shared else length

    def some_vectors(number: Expr) -> Stmt | None:
        first = _by_turns(found, number, sets) * (together * length) + start * unit

        def group(place: Expr) -> Stmt | None:
            tile = first + _by_turns(found, place, count)
            return some(Tiles(tile, together, found.tile, length))

        return tir.loop(count, group, "tiles")

    return tir.sequence([*shared, tir.loop(sets, some_vectors, "vectors")])


def _by_turns(found: Product, number: Expr, count: Extent) -> Expr:
    """A number below ``count``, counted from the other end in each second turn."""
    if found.turn is None:
        return number
    return number + found.turn * (count - 1 - number * 2)


def _quotient(count: Extent, by: int) -> Extent:
    return count // by if isinstance(count, int) else tirx.floordiv(count, tir.index(by))


def _remainder(count: Extent, by: int) -> Extent:
    return count % by if isinstance(count, int) else tirx.floormod(count, tir.index(by))


def _rows(found: Product, outer: Indices, rows_at_once: int, tiles: Tiles) -> Stmt | None:
    """All rows for some tiles, as many rows at once as possible."""
    done: Extent = 0
    left, parts = found.rows, list[Stmt | None]()

    def blocks(first: Extent, groups: Extent, rows: int, part: Tiles) -> Stmt | None:
        return tir.loop(
            groups, lambda g: _block(found, outer, g * rows + first, rows, part), "rows"
        )

    for rows in (rows_at_once, 2) if rows_at_once > 2 else ():
        groups = _quotient(left, rows)
        # In a loop: code for several rows is long, and the next tile needs the same.
        parts.append(tiles.each(partial(blocks, done, groups, rows)))
        if found.whole:
            return tir.sequence(parts)
        done, left = done + groups * rows, _remainder(left, rows)
    return tir.sequence([*parts, blocks(done, left, 1, tiles)])


def _block(found: Product, outer: Indices, row: Expr, rows: int, tiles: Tiles) -> Stmt | None:
    """The results of ``rows`` rows in some tiles."""
    if found.block is not None:
        return found.block(row, outer, rows, tiles)
    lanes = 1 << (tiles.width - 1).bit_length()
    total, declared = tir.registers((rows, tiles.count, lanes), found.dtype, "total")

    def each(body: Callable[[Expr, Expr, Expr], Stmt]) -> Stmt | None:
        return tir.unrolled(
            rows,
            lambda r: tir.unrolled(
                tiles.count, lambda s: tir.vectorized(lanes, lambda v: body(r, s, v)), "s"
            ),
            "r",
        )

    def advance(over: Indices) -> Stmt | None:
        def one(r: Expr, s: Expr, v: Expr) -> Stmt:
            term = found.term(row + r, outer, tiles.at(s), over, v)
            return tir.store(total, (r, s, v), found.combine(tir.load(total, (r, s, v)), term))

        return each(one)

    return tir.sequence(
        [
            declared,
            each(lambda r, s, v: tir.store(total, (r, s, v), found.neutral)),
            _announced(found, outer, row, rows, tiles),
            found.over(advance),
            _write(found, outer, row, rows, tiles, total),
        ]
    )


def _announced(found: Product, outer: Indices, row: Expr, rows: int, tiles: Tiles) -> Stmt | None:
    """The lines of memory of the results, asked for."""
    place = found.place
    if place is None:
        return None

    def line(r: Expr, s: Expr, k: Expr) -> Stmt:
        start = tiles.at(s) * found.tile + k * _LINE
        return tir.ask_for(*place(row + r, (*outer, start)))

    return tir.unrolled(
        rows,
        lambda r: tir.unrolled(
            tiles.count,
            lambda s: tir.unrolled(-(-tiles.width // _LINE), lambda k: line(r, s, k), "k"),
            "s",
        ),
        "r",
    )


def _write(
    found: Product, outer: Indices, row: Expr, rows: int, tiles: Tiles, total: tir.Buffer
) -> Stmt | None:
    def part(r: Expr, s: Expr, start: int, count: int) -> Stmt | None:
        def lane(v: Expr) -> Stmt:
            place = (*outer, tiles.at(s) * found.tile + start + v)
            return found.write(row + r, place, tir.load(total, (r, s, v + start)))

        return tir.vectorized(count, lane)

    return tir.unrolled(
        rows,
        lambda r: tir.unrolled(
            tiles.count,
            lambda s: tir.sequence([part(r, s, start, n) for start, n in tir.powers(tiles.width)]),
            "s",
        ),
        "r",
    )
