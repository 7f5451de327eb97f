"""Contractions that also sum over batch and time: the gradients of weights."""

from __future__ import annotations

from collections.abc import Callable

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_contract import letter_sizes
from rnndsl.backends.tvm.lower_loops import Site
from rnndsl.backends.tvm.lower_product import Product, product
from rnndsl.backends.tvm.lower_views import Indices
from rnndsl.backends.tvm.tir import Buffer, Expr, Extent, Stmt
from rnndsl.compiler.op_types import parse_spec

# Rows summed before a tile of results goes back to memory: what they read stays in the cache.
_CHUNK = 256
# Results along each axis, and in all, from which on it pays to put operands in the order in which
# they are read: what they are read for and written to is then more than a near cache holds.
_LEAST_LINES, _LEAST_RESULTS = 128, 100_000
# Elements between two tiles in memory, so that they do not begin in the same place of a cache.
_APART = 32


def summed(site: Site) -> Stmt | None:
    """Products summed over the rows too, added to what the result holds, if it does.

    One axis of the result runs along the lanes of a tile, another along its rows.  Each part
    of a team computes some of the rows of results, from all terms: no sum depends on the
    number of parts.
    """
    left, right, out = parse_spec(site.attrs["spec"])
    sizes = letter_sizes(site)
    over = "".join(dict.fromkeys(k for k in left + right if k not in out))
    lane = _lane(left, right, out)
    beside = right if lane in left else left
    along = next((k for k in reversed(out) if k != lane and k in beside), "")
    outer = [k for k in out if k not in (lane, along)]
    size = sizes[lane] if lane else 1
    tile = site.machine.tile(site.dtype, size)
    lines = sizes[along] if along else 1
    together = site.machine.sum_rows
    groups, left_over = divmod(lines, together)
    start, stop, shared = site.team.share(tir.index(groups), 1)
    is_large = min(lines, size) >= _LEAST_LINES and lines * size >= _LEAST_RESULTS
    is_packed = is_large and not (over or outer)

    def chunk(number: Expr) -> Stmt | None:
        first = number * _CHUNK
        fresh = tirx.And(site.fresh, tirx.EQ(number, tir.index(0)))
        count, counted = tir.bind_index("count", tirx.min(tir.index(_CHUNK), site.rows - first))

        def terms(body: Callable[[Indices], Stmt | None]) -> Stmt | None:
            return tir.nest([count, *(sizes[k] for k in over)], body, "tklmn")

        def at(row: Expr, place: Indices, column: Expr) -> dict[str, Expr]:
            return {**dict(zip(outer, place, strict=True)), along: row, lane: column}

        def term(row: Expr, place: Indices, tiles: Expr, folded: Indices, v: Expr) -> Expr:
            known = at(row, place, tiles * tile + v)
            known |= dict(zip(over, folded[1:], strict=True))
            one, other = (
                read(first + folded[0], tuple(known[k] for k in letters))
                for read, letters in zip(site.reads, (left, right), strict=True)
            )
            return one * other

        def write(row: Expr, place: Indices, value: Expr) -> Stmt:
            known = at(row, place[:-1], place[-1])
            where = tuple(known[k] for k in out)
            once = tir.index(0)
            held = tirx.Select(fresh, site.zero(), site.current(once, where))
            return site.write(once, where, held + value)

        def place_of(row: Expr, place: Indices) -> tuple[Buffer, Indices]:
            known = at(row, place[:-1], place[-1])
            return site.place(tir.index(0), tuple(known[k] for k in out))

        def some(begin: Expr, rows: Extent, whole: bool) -> Stmt | None:
            found = Product(
                rows,
                tuple(sizes[k] for k in outer),
                size,
                terms,
                lambda row, *rest: term(begin + row, *rest),
                lambda row, place, value: write(begin + row, place, value),
                tile,
                site.zero(),
                whole=whole,
            )
            return product(found, together, 1)

        if is_packed:
            shares = _packed(site, (along, lane), (start, stop), first, count, write, place_of)
        else:
            shares = some(start * together, (stop - start) * together, True) if groups else None
        rest = some(tir.index(groups * together), left_over, False) if left_over else None
        return tir.sequence([counted, shares, site.team.last_alone(rest)])

    chunks = tirx.floordiv(site.rows + (_CHUNK - 1), tir.index(_CHUNK))
    return tir.sequence([*shared, tir.loop(chunks, chunk, "chunk")])


def _packed(
    site: Site,
    axes: tuple[str, str],
    share: tuple[Expr, Expr],
    first: Expr,
    count: Expr,
    write: Callable[[Expr, Indices, Expr], Stmt],
    place_of: Callable[[Expr, Indices], tuple[Buffer, Indices]],
) -> Stmt | None:
    """Outer products of vectors, summed over ``count`` rows from ``first`` on.

    ``axes`` of the result go along the rows of its tiles and along their lanes; this part has a
    ``share`` of the former.  Rows of streams are far apart, often by a power of two, so that few
    of them fit into the cache together: first they are copied, tile by tile, to where each tile
    lies in one piece.
    """
    along, lane = axes
    left, right, _ = parse_spec(site.attrs["spec"])
    sizes = letter_sizes(site)
    reads = dict(zip((left, right), site.reads, strict=True))
    together, size = site.machine.sum_rows, sizes[lane]
    tile = site.machine.tile(site.dtype, size)
    full, rest = divmod(size, tile)
    start, stop = share
    lines = site.panel("along", (sizes[along] // together, _CHUNK + _APART // together, together))
    lanes = site.panel("lanes", (-(-size // tile), _CHUNK + _APART // tile, tile))

    def pieces(
        panel: Buffer, operand: str, row: Expr, number: Expr, width: int, count: int
    ) -> Stmt | None:
        """The first ``count`` elements of a tile of ``width`` in one row."""
        read = reads[operand]

        def vector(start: int, n: int) -> Stmt | None:
            def element(v: Expr) -> Stmt:
                found = read(first + row, (number * width + (v + start),))
                return tir.store(panel, (number, row, v + start), found)

            return tir.vectorized(n, element)

        return tir.sequence(vector(start, n) for start, n in tir.powers(count))

    def copied(row: Expr) -> Stmt | None:
        return tir.sequence(
            [
                tir.loop(
                    stop - start,
                    lambda k: pieces(lines, along, row, start + k, together, together),
                    "line",
                ),
                tir.loop(full, lambda k: pieces(lanes, lane, row, k, tile, tile), "lanes"),
                pieces(lanes, lane, row, tir.index(full), tile, rest),
            ]
        )

    def results(number: Expr, width: int) -> Stmt | None:
        def group(place: Expr) -> Stmt | None:
            found = Product(
                together,
                (),
                width,
                lambda body: tir.nest([count], body, "t"),
                lambda row, _, tiles, folded, v: (
                    tir.load(lines, (start + place, folded[0], row))
                    * tir.load(lanes, (number, folded[0], v))
                ),
                lambda row, at, value: write(
                    (start + place) * together + row, (number * tile + at[0],), value
                ),
                tile,
                site.zero(),
                whole=True,
                place=lambda row, at: place_of(
                    (start + place) * together + row, (number * tile + at[0],)
                ),
            )
            return product(found, together, 1)

        return tir.loop(stop - start, group, "group")

    return tir.sequence(
        [
            tir.rows(count, copied),
            tir.loop(full, lambda number: results(number, tile), "tiles"),
            results(tir.index(full), rest) if rest else None,
        ]
    )


def _lane(left: str, right: str, out: str) -> str:
    """The result axis along which an operand's neighbours lie side by side, if there is one."""
    ends = [letters[-1] for letters in (right, left) if letters and letters[-1] in out]
    if out and out[-1] in ends:
        return out[-1]
    return next((k for k in ends if (k in left) != (k in right)), out[-1] if out else "")
