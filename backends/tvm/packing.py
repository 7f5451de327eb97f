"""Weights put into the layout of a kernel by the kernel itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.accesses import accessed
from rnndsl.backends.tvm.lower_views import Indices, Read, Sizes
from rnndsl.backends.tvm.neighbours import one_access, step
from rnndsl.backends.tvm.signature import Packing
from rnndsl.backends.tvm.squares import TYPES, transpose
from rnndsl.backends.tvm.team import Team
from rnndsl.backends.tvm.tir import Buffer, Expr, Stmt


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a weight, read by its own indices: ``sizes`` of ``whole``, from ``start`` on along
    ``axis``; or all of it."""

    sizes: Sizes
    whole: Sizes
    axis: int
    start: int
    read: Read

    def place(self, at: Indices) -> Indices:
        """Where an element of the part is in the whole."""
        if not self.start:
            return at
        return (*at[: self.axis], at[self.axis] + tir.offset(self.start), *at[self.axis + 1 :])


def pack(
    packing: Packing, piece: Piece, packed: Buffer, width: int, zero: Expr, team: Team
) -> Stmt | None:
    """Statements that do for a piece what :meth:`Packing.pack` does, on vectors of ``width``
    elements.

    The parts of ``team`` share the tiles.
    """
    order, position, tile = packing.order, packing.position, packing.tile
    ordered = [piece.sizes[axis] for axis in order]
    size, total = ordered[position], piece.whole[order[position]]
    before, after = ordered[:position], ordered[position + 1 :]
    # Where the piece begins in the tiles, or along another axis of them.
    in_tiles = order[position] == piece.axis
    first_tile, first_lane = divmod(piece.start, tile) if in_tiles else (0, 0)
    shift = dict.fromkeys(range(len(order)), 0)
    if not in_tiles:
        shift[order.index(piece.axis)] = piece.start

    def shifted(at: Indices, first: int) -> Indices:
        """Indices of the piece along some axes, the ``first`` of these and on, in the whole."""
        axes = enumerate(at, start=first)
        return tuple(i + tir.offset(shift[k]) if shift[k] else i for k, i in axes)

    def one(lead: Indices, number: Expr, line: Expr, lane_start: int, lanes: int) -> Stmt | None:
        """``lanes`` of tile ``number`` from ``lane_start`` on, from ``line`` of the piece on."""

        def source(rest: Indices, lane: Expr) -> Expr:
            place = (*lead, line + lane, *rest)
            return piece.read(tir.index(0), tuple(place[order.index(a)] for a in range(len(order))))

        def target(rest: Indices, lane: Expr) -> Indices:
            place = lane + lane_start if lane_start else lane
            return (*shifted(lead, 0), number, *shifted(rest, position + 1), place)

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
        begun = min(size, -first_lane % tile)  # what another piece began
        full, left = divmod(size - begun, tile)
        next_tile = tir.offset(first_tile + (first_lane > 0))
        start, stop, shared = team.share(tir.index(full), 1)

        def whole_tile(number: Expr) -> Stmt | None:
            place = start + number
            return one(lead, place + next_tile, place * tile + begun, 0, tile)

        edges = []
        if begun:
            edges.append(one(lead, tir.offset(first_tile), tir.index(0), first_lane, begun))
        if left:
            edges.append(one(lead, next_tile + full, tir.index(begun + full * tile), 0, left))
        if (not in_tiles or piece.start + size == total) and total % tile:
            end, missing = tir.offset(total // tile), tile - total % tile
            padding = tir.nest(
                [*after, missing],
                lambda at: tir.store(
                    packed,
                    (
                        *shifted(lead, 0),
                        end,
                        *shifted(at[:-1], position + 1),
                        at[-1] + total % tile,
                    ),
                    zero,
                ),
                "klmnp",
            )
            edges.append(padding)
        return tir.sequence(
            [
                *shared,
                tir.loop(stop - start, whole_tile, "tile") if full else None,
                team.last_alone(tir.sequence(edges)),
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
    outlined = _outlined_square(source, target, width)

    def element(i: Expr, j: Expr) -> Stmt:
        return tir.store(*target(j, i), source(i, j))

    def edge(i: int, j: int) -> Stmt | None:
        """The elements from row ``i`` and column ``j`` on."""
        return tir.loop(
            sizes[0] - i,
            lambda a: tir.loop(sizes[1] - j, lambda b: element(a + i, b + j), "j", once=True),
            "i",
        )

    def square(a: Expr, b: Expr) -> Stmt | None:
        first, second = a * width, b * width
        if outlined is not None:
            return outlined(first, second)
        statements = list[Stmt]()

        def keep(vector: Expr) -> Expr:
            line, named = tir.bind("line", vector, f"{dtype}x{width}")
            statements.append(named)
            return line

        def interleaved(a: Expr, b: Expr) -> list[Expr]:
            # Lanes of the second vector are counted on from those of the first.
            pairs = zip(range(width), range(width, 2 * width), strict=True)
            order = [tir.index(lane) for pair in pairs for lane in pair]
            return [keep(tirx.Shuffle([a, b], half)) for half in (order[:width], order[width:])]

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
            sizes[1] - columns * width,
            lambda j: element(i, j + columns * width),
            "j",
            once=True,
        ),
        "i",
    )
    return tir.sequence(
        [squares, beside, edge(rows * width, 0) if sizes[0] > rows * width else None]
    )


def _outlined_square(
    source: Callable[[Expr, Expr], Expr],
    target: Callable[[Expr, Expr], tuple[Buffer, Indices]],
    width: int,
) -> Callable[[Expr, Expr], Stmt] | None:
    """Calls for squares from two indices on, where rows of both matrices lie in one piece and
    LLVM has a name for their elements."""
    zero = tir.index(0)

    read = one_access(lambda: source(zero, zero))
    steps = [step(lambda i: source(i, zero)), step(lambda j: source(zero, j))]
    steps += [
        step(lambda j: accessed(*target(j, zero))),
        step(lambda i: accessed(*target(zero, i))),
    ]
    down, along, over, beside = steps
    if read is None or down is None or over is None or along != 1 or beside != 1:
        return None
    dtype = str(read.buffer.dtype)
    if dtype not in TYPES or str(target(zero, zero)[0].dtype) != dtype:
        return None

    def square(first: Expr, second: Expr) -> Stmt:
        found = one_access(lambda: source(first, second))
        assert found is not None and down is not None and over is not None
        given = tir.address_of(found.buffer, found.indices)
        wanted = tir.address_of(*target(second, first))
        return transpose(dtype, width, given, tir.index(down), wanted, tir.index(over))

    return square
