"""Contractions: products with weights in packed tiles, and products of two streams."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_fold import Fold, by_output, by_term
from rnndsl.backends.tvm.lower_loops import Site, adding
from rnndsl.backends.tvm.lower_views import Indices
from rnndsl.backends.tvm.signature import Packing
from rnndsl.backends.tvm.tir import Buffer, Expr, Stmt
from rnndsl.compiler.op_types import parse_spec

# Gives the packed form of a parameter.
Pack = Callable[[Packing], Buffer]

# Rows and vector registers of results held at a time: 2 x 4 leave room for the operands.
_ROWS = 2
_VECTORS = 4


def contract(site: Site, packs: tuple[Pack | None, Pack | None]) -> Stmt | None:
    """A contraction; ``packs`` for the operands that are parameters, None for the others."""
    left, right, out = parse_spec(site.attrs["spec"])
    if site.attrs["sum_batch"]:
        return _summed(site, (left, right), out)
    for letters, other, pack, which in ((left, right, packs[0], 0), (right, left, packs[1], 1)):
        if pack and site.node.type.batched and out and out[-1] in letters and out[-1] not in other:
            return _with_weight(site, letters, other, out, pack, which)
    return _of_streams(site, (left, right), out)


def _sizes(site: Site) -> dict[str, int]:
    left, right, _ = parse_spec(site.attrs["spec"])
    return dict(zip(left + right, (*site.sizes[0], *site.sizes[1]), strict=True))


def _fold(
    site: Site,
    out: str,
    over: str,
    term: Callable[[Expr, Indices, Indices], Expr],
) -> Fold:
    sizes = _sizes(site)
    return Fold(
        site.rows,
        tuple(sizes[letter] for letter in out),
        tuple(sizes[letter] for letter in over),
        term,
        site.write,
        lambda a, b: a + b,
        site.zero(),
        site.dtype,
    )


def _with_weight(
    site: Site, weight: str, vector: str, out: str, pack: Pack, which: int
) -> Stmt | None:
    """Rows times a weight, whose last result axis is packed into tiles of registers."""
    sizes = _sizes(site)
    over = "".join(k for k in weight + vector if k not in out)
    over = "".join(dict.fromkeys(over))
    outer = [k for k in weight if k in out and k != out[-1]]
    summed = [k for k in weight if k not in out]
    tile = site.width * min(_VECTORS, ceil(sizes[out[-1]] / site.width))
    order = tuple(weight.index(k) for k in (*outer, out[-1], *summed))
    packed = pack(Packing(order, len(outer), tile))
    read = site.reads[1 - which]

    def term(row: Expr, place: Indices, folded: Indices) -> Expr:
        at = dict(zip(out[:-1] + over, (*place[:-2], *folded), strict=True))
        element = read(row, tuple(at[k] for k in vector))
        where = (*(at[k] for k in outer), place[-2], *(at[k] for k in summed), place[-1])
        return element * tir.load(packed, where)

    return by_output(_fold(site, out, over, term), tile, _ROWS)


def _of_streams(site: Site, operands: tuple[str, str], out: str) -> Stmt | None:
    over = "".join(dict.fromkeys(k for k in "".join(operands) if k not in out))
    ends = {letters[-1] for letters in operands if letters}
    # Vectors run along the axis whose neighbours lie side by side in memory.
    over = "".join(sorted(over, key=lambda k: k in ends))
    along_out = bool(out) and out[-1] in ends
    tile = site.width * 2 if along_out else 1

    def term(row: Expr, place: Indices, folded: Indices) -> Expr:
        where = (*place[:-2], place[-2] * tile + place[-1]) if place else ()
        at = dict(zip(out + over, (*where, *folded), strict=True))
        first, second = (
            read(row, tuple(at[k] for k in letters))
            for read, letters in zip(site.reads, operands, strict=True)
        )
        return first * second

    fold = _fold(site, out, over, term)
    return by_output(fold, tile) if along_out else by_term(fold, site.width)


def _summed(site: Site, operands: tuple[str, str], out: str) -> Stmt | None:
    """Products summed over the rows too, added to what the result holds."""
    sizes = _sizes(site)
    over = "".join(dict.fromkeys(k for k in "".join(operands) if k not in out))
    tile = site.width * 2

    def term(row: Expr, place: Indices, folded: Indices) -> Expr:
        where = (*place[:-2], place[-2] * tile + place[-1]) if place else ()
        at = dict(zip(out + over, (*where, *folded[1:]), strict=True))
        first, second = (
            read(folded[0], tuple(at[k] for k in letters))
            for read, letters in zip(site.reads, operands, strict=True)
        )
        return first * second

    fold = Fold(
        1,
        tuple(sizes[k] for k in out),
        (site.rows, *(sizes[k] for k in over)),
        term,
        adding(site),
        lambda a, b: a + b,
        site.zero(),
        site.dtype,
    )
    return by_output(fold, tile) if out else by_term(fold, site.width)
