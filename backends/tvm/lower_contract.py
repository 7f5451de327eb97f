"""Contractions: products with weights in packed tiles, and products of two streams."""

from __future__ import annotations

from collections.abc import Callable

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.accesses import accessed
from rnndsl.backends.tvm.lower_fold import Fold, by_output, by_term
from rnndsl.backends.tvm.lower_loops import Site
from rnndsl.backends.tvm.lower_product import Product, Tiles, add, product
from rnndsl.backends.tvm.lower_views import Indices
from rnndsl.backends.tvm.neighbours import one_access, step
from rnndsl.backends.tvm.signature import Packing
from rnndsl.backends.tvm.squares import KINDS
from rnndsl.backends.tvm.tiles import Operand, Results, Shape, multiply
from rnndsl.backends.tvm.tir import Buffer, Expr, Stmt
from rnndsl.compiler.op_types import parse_spec

# Terms of a product from which on it is computed by a function: calls take time, too.
_LEAST_TERMS = 8
# Gives the packed form of a shared operand.
Pack = Callable[[Packing], Buffer]


def contract(site: Site, packs: tuple[Pack | None, Pack | None]) -> Stmt | None:
    """A contraction of one step; ``packs`` for the operands that are shared, None for others."""
    left, right, out = parse_spec(site.attrs["spec"])
    for letters, other, pack, which in ((left, right, packs[0], 0), (right, left, packs[1], 1)):
        if pack and out and out[-1] in letters and out[-1] not in other:
            return _with_weight(site, letters, other, out, pack, which)
    return _of_streams(site, (left, right), out)


def letter_sizes(site: Site) -> dict[str, int]:
    """The sizes of a contraction's letters."""
    left, right, _ = parse_spec(site.attrs["spec"])
    return dict(zip(left + right, (*site.sizes[0], *site.sizes[1]), strict=True))


def _with_weight(
    site: Site, weight: str, vector: str, out: str, pack: Pack, which: int
) -> Stmt | None:
    """Rows times a weight, whose last result axis is packed into tiles of registers."""
    sizes = letter_sizes(site)
    over = "".join(dict.fromkeys(k for k in weight + vector if k not in out))
    outer = [k for k in weight if k in out and k != out[-1]]
    summed = [k for k in weight if k not in out]
    size = sizes[out[-1]]
    tile = site.machine.tile(site.dtype, size)
    order = tuple(weight.index(k) for k in (*outer, out[-1], *summed))
    packed = pack(Packing(order, len(outer), tile))
    read = site.reads[1 - which]

    def element(row: Expr, place: Indices, folded: Indices) -> Expr:
        at = dict(zip(out[:-1] + over, (*place, *folded), strict=True))
        return read(row, tuple(at[k] for k in vector))

    def weight_at(place: Indices, number: Expr, folded: Indices, lane: Expr) -> Indices:
        at = dict(zip(out[:-1] + over, (*place, *folded), strict=True))
        return (*(at[k] for k in outer), number, *(at[k] for k in summed), lane)

    def term(row: Expr, place: Indices, number: Expr, folded: Indices, lane: Expr) -> Expr:
        found = tir.load(packed, weight_at(place, number, folded, lane))
        return element(row, place, folded) * found

    found = Product(
        site.rows,
        tuple(sizes[k] for k in out[:-1]),
        size,
        lambda body: tir.nest([sizes[k] for k in over], body, "klmn"),
        term,
        site.write,
        tile,
        site.zero(),
        turn=site.turn,
        block=_in_function(site, element, weight_at, packed, [sizes[k] for k in over], tile),
        vectors=site.vectors if site.team.is_shared else 0,
    )
    return product(found, site.machine.rows, site.machine.lone_tiles, site.team)


def _in_function(
    site: Site,
    element: Callable[[Expr, Indices, Indices], Expr],
    weight_at: Callable[[Indices, Expr, Indices, Expr], Indices],
    packed: Buffer,
    over: list[int],
    tile: int,
) -> Callable[[Expr, Indices, int, Tiles], Stmt] | None:
    """Blocks of a product as calls of a function that other products share; None where operands
    and results do not lie as it expects."""
    zero = tir.index(0)
    outer = tuple(zero for _ in site.out[:-1])
    if len(over) != 1 or over[0] < _LEAST_TERMS or site.dtype not in KINDS:
        return None
    places: list[Callable[[Expr], object]] = [
        lambda i: element(i, outer, (zero,)),
        lambda i: element(zero, outer, (i,)),
        lambda i: accessed(packed, weight_at(outer, i, (zero,), zero)),
        lambda i: accessed(packed, weight_at(outer, zero, (i,), zero)),
        lambda i: accessed(*site.place(i, (*outer, zero))),
        lambda i: accessed(*site.place(zero, (*outer, i))),
    ]
    steps = [step(place) for place in places]
    first = one_access(lambda: places[0](zero))
    found = [each for each in steps if each is not None]
    result, _ = site.place(zero, (*outer, zero))
    if first is None or len(found) < len(steps) or found[-1] != 1:
        return None
    if {str(buffer.dtype) for buffer in (first.buffer, packed, result)} != {site.dtype}:
        return None
    row, term, next_tile, next_term, result_row, _ = found

    def block(start: Expr, place: Indices, rows: int, tiles: Tiles) -> Stmt:
        read = one_access(lambda: element(start, place, (zero,)))
        assert read is not None
        weights = tir.address_of(packed, weight_at(place, tiles.first, (zero,), zero))
        results = tir.address_of(*site.place(start, (*place, tiles.first * tile)))
        return multiply(
            Shape(site.dtype, rows, tiles.count, tile, tiles.width),
            Operand(tir.address_of(read.buffer, read.indices), row, term),
            Operand(weights, next_tile * tiles.apart, next_term),
            over[0],
            Results(results, result_row, tile * tiles.apart),
        )

    return block


def _of_streams(site: Site, operands: tuple[str, str], out: str) -> Stmt | None:
    sizes = letter_sizes(site)
    over = "".join(dict.fromkeys(k for k in "".join(operands) if k not in out))
    ends = {letters[-1] for letters in operands if letters}
    # Vectors run along the axis whose neighbours lie side by side in memory.
    over = "".join(sorted(over, key=lambda k: k in ends))
    along_out = bool(out) and out[-1] in ends
    tile = site.machine.tile(site.dtype, sizes[out[-1]]) if along_out else 1

    def term(row: Expr, place: Indices, folded: Indices) -> Expr:
        where = (*place[:-2], place[-2] * tile + place[-1]) if place else ()
        at = dict(zip(out + over, (*where, *folded), strict=True))
        first, second = (
            read(row, tuple(at[k] for k in letters))
            for read, letters in zip(site.reads, operands, strict=True)
        )
        return first * second

    fold = Fold(
        site.rows,
        tuple(sizes[letter] for letter in out),
        tuple(sizes[letter] for letter in over),
        term,
        site.write,
        add,
        site.zero(),
    )
    return by_output(fold, tile) if along_out else by_term(fold, site.width)
