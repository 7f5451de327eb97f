"""Weights put into the layout of a kernel by the kernel itself."""

from __future__ import annotations

from collections.abc import Callable

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_views import Indices, Read, Sizes
from rnndsl.backends.tvm.signature import Packing
from rnndsl.backends.tvm.team import Team
from rnndsl.backends.tvm.tir import Buffer, Expr, Stmt

# Of (lead, tile, rest, lane): store that element, or vectors of it.
_Element = Callable[[Indices, Expr], Stmt]


def pack(
    packing: Packing,
    sizes: Sizes,
    read: Read,
    packed: Buffer,
    width: int,
    zero: Expr,
    team: Team,
) -> Stmt | None:
    """Statements that do what :meth:`Packing.pack` does, on vectors of ``width`` elements.

    The parts of ``team`` share the tiles.
    """
    order, position, tile = packing.order, packing.position, packing.tile
    ordered = [sizes[axis] for axis in order]
    size = ordered[position]
    before, after = ordered[:position], ordered[position + 1 :]

    def one(lead: Indices, number: Expr, lanes: int) -> Stmt | None:
        def source(rest: Indices, lane: Expr) -> Expr:
            place = (*lead, number * tile + lane, *rest)
            return read(tir.index(0), tuple(place[order.index(a)] for a in range(len(order))))

        def target(rest: Indices, lane: Expr) -> Indices:
            return (*lead, number, *rest, lane)

        if after and order[-1] == len(order) - 1:
            return tir.nest(
                after[:-1],
                lambda at: _transposed(
                    (lanes, after[-1]),
                    lambda lane, k: source((*at, k), lane),
                    lambda k, lane: (packed, target((*at, k), lane)),
                    width,
                ),
                "klm",
            )
        return tir.nest(
            after,
            lambda rest: tir.lanes(
                lanes,
                width,
                lambda lane, _: tir.store(packed, target(rest, lane), source(rest, lane)),
            ),
            "klmn",
        )

    def tiles(lead: Indices) -> Stmt | None:
        full, left = divmod(size, tile)
        start, stop, shared = team.share(tir.index(full), 1)
        last = tir.index(full)
        padding = tir.nest(
            [*after, tile - left],
            lambda at: tir.store(packed, (*lead, last, *at[:-1], at[-1] + left), zero),
            "klmnp",
        )
        return tir.sequence(
            [
                *shared,
                tir.loop(stop - start, lambda number: one(lead, start + number, tile), "tile"),
                team.last_alone(tir.sequence([one(lead, last, left), padding])) if left else None,
            ]
        )

    return tir.nest(before, tiles, "abcdef")


def _transposed(
    sizes: tuple[int, int],
    source: Callable[[Expr, Expr], Expr],
    target: Callable[[Expr, Expr], tuple[Buffer, Indices]],
    width: int,
) -> Stmt | None:
    """``target(j, i) = source(i, j)`` for a matrix of ``sizes``: squares of vectors that are
    transposed in registers, and single elements at the edges."""
    rows, columns = (size // width for size in sizes)

    def element(i: Expr, j: Expr) -> Stmt:
        return tir.store(*target(j, i), source(i, j))

    def edge(i: int, j: int) -> Stmt | None:
        """The elements from row ``i`` and column ``j`` on."""
        return tir.loop(
            sizes[0] - i,
            lambda a: tir.loop(sizes[1] - j, lambda b: element(a + i, b + j), "j"),
            "i",
        )

    def square(a: Expr, b: Expr) -> Stmt | None:
        first, second = a * width, b * width
        vectors, statements = list[Expr](), list[Stmt]()

        def keep(vector: Expr) -> Expr:
            buffer, declared = tir.registers((width,), dtype, "line")
            whole = tirx.Ramp(tir.index(0), tir.index(1), width)
            statements.extend([declared, tir.store(buffer, (whole,), vector)])
            return tir.load(buffer, (whole,))

        def interleaved(a: Expr, b: Expr) -> list[Expr]:
            both, declared = tir.registers((2 * width,), dtype, "both")
            name, kind = "llvm.vector.interleave2", f"{dtype}x{2 * width}"
            value = tirx.call_llvm_pure_intrin(kind, name, a, b)
            whole = tirx.Ramp(tir.index(0), tir.index(1), 2 * width)
            statements.extend([declared, tir.store(both, (whole,), value)])
            halves = (tirx.Ramp(tir.index(k), tir.index(1), width) for k in (0, width))
            return [keep(tir.load(both, (half,))) for half in halves]

        along = tirx.Ramp(second, tir.index(1), width)
        dtype = str(source(first, second).ty.dtype)
        vectors = [keep(source(first + k, along)) for k in range(width)]
        for _ in range(width.bit_length() - 1):
            half = width // 2
            # Twice as many rows that are half as far apart, until all lie side by side.
            vectors = [
                part
                for pair in zip(vectors[:half], vectors[half:], strict=True)
                for part in interleaved(*pair)
            ]
        across = tirx.Ramp(first, tir.index(1), width)
        stores = [
            tir.store(*target(second + k, across), vector) for k, vector in enumerate(vectors)
        ]
        return tir.sequence([*statements, *stores])

    squares = tir.loop(rows, lambda a: tir.loop(columns, lambda b: square(a, b), "columns"), "rows")
    beside = tir.loop(
        rows * width,
        lambda i: tir.loop(
            sizes[1] - columns * width, lambda j: element(i, j + columns * width), "j"
        ),
        "i",
    )
    return tir.sequence(
        [squares, beside, edge(rows * width, 0) if sizes[0] > rows * width else None]
    )
