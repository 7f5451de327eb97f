"""Ops that need a loop nest of their own: reductions, running values and data movement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_fold import Fold, by_output, by_short, by_term, is_short
from rnndsl.backends.tvm.lower_product import add
from rnndsl.backends.tvm.lower_scalar import larger
from rnndsl.backends.tvm.lower_vectors import each_element
from rnndsl.backends.tvm.lower_views import Indices, Read, Sizes
from rnndsl.backends.tvm.machine import Machine
from rnndsl.backends.tvm.team import Team
from rnndsl.backends.tvm.tir import Buffer, Expr, Extent, Stmt
from rnndsl.backends.tvm.work import PIECE
from rnndsl.compiler.ir import AttrValue, Node
from rnndsl.compiler.op_types import dims_attr, int_attr, ints_attr


@dataclass(frozen=True, slots=True)
class Site:
    """One node where it is computed: for ``rows`` examples, read and written by index."""

    node: Node
    sizes: tuple[Sizes, ...]  # of the operands
    reads: tuple[Read, ...]
    current: Read  # what the result holds already
    write: Callable[[Expr, Indices, Expr], Stmt]
    rows: Extent
    dtype: str
    machine: Machine
    turn: Expr  # 0 and 1 by turns
    team: Team
    fresh: Expr  # whether a total holds nothing yet
    place: Callable[[Expr, Indices], tuple[Buffer, Indices]]  # where an element of it is
    vectors: int  # that threads share alike in its results, 0 if they share these in tiles
    panel: Callable[[str, Sizes], Buffer]  # memory of this part alone, for the time of the loops

    @property
    def out(self) -> Sizes:
        return self.node.type.sizes

    @property
    def attrs(self) -> dict[str, AttrValue]:
        return dict(self.node.attrs)

    @property
    def width(self) -> int:
        """Elements of one vector register."""
        return self.machine.width(self.dtype)

    def zero(self) -> Expr:
        return tir.number(0, self.dtype)


def _put(place: Indices, axis: int, value: Expr) -> Indices:
    return (*place[:axis], value, *place[axis + 1 :])


def _resize(sizes: Sizes, axis: int, size: int) -> Sizes:
    return (*sizes[:axis], size, *sizes[axis + 1 :])


def copy(
    site: Site, read: Read, sizes: Sizes, axis: int = 0, start: int = 0, origin: int = 0
) -> Stmt | None:
    """Copy a block of ``sizes``, from ``origin`` of ``read`` to ``start`` of the result."""

    def element(row: Expr, place: Indices) -> Stmt:
        if not sizes:
            return site.write(row, (), read(row, ()))
        value = read(row, _put(place, axis, place[axis] + origin))
        return site.write(row, _put(place, axis, place[axis] + start), value)

    return each_element(site.rows, sizes, site.width, element)


def _fill(site: Site, sizes: Sizes, axis: int = 0, start: int = 0) -> Stmt | None:
    return copy(site, lambda row, place: site.zero(), sizes, axis, start)


def concat(site: Site, done: Sequence[bool]) -> Stmt | None:
    """Operands copied side by side, but those that are ``done``."""
    axis, start, parts = int_attr(site.attrs, "axis"), 0, []
    for read, sizes, there in zip(site.reads, site.sizes, done, strict=True):
        if not there:
            parts.append(copy(site, read, sizes, axis, start))
        start += sizes[axis]
    return tir.sequence(parts)


def _pad(site: Site) -> Stmt | None:
    axis, (sizes,) = int_attr(site.attrs, "axis"), site.sizes
    before, after = (int(d) for d in dims_attr(site.attrs, "bounds"))
    return tir.sequence(
        [
            _fill(site, _resize(sizes, axis, before), axis),
            copy(site, site.reads[0], sizes, axis, before),
            _fill(site, _resize(sizes, axis, after), axis, before + sizes[axis]),
        ]
    )


def _roll(site: Site) -> Stmt | None:
    axis, (sizes,) = int_attr(site.attrs, "axis"), site.sizes
    size = sizes[axis]
    shift = int_attr(site.attrs, "shift") % size
    return tir.sequence(
        [
            copy(site, site.reads[0], _resize(sizes, axis, size - shift), axis, start=shift),
            copy(site, site.reads[0], _resize(sizes, axis, shift), axis, origin=size - shift),
        ]
    )


def index_runs(indices: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Indices as runs ``(first, stride, count)``, each with a constant stride that is not 0."""
    runs: list[tuple[int, int, int]] = []
    at = 0
    while at < len(indices):
        stop, stride = at + 1, 1
        if stop < len(indices) and indices[stop] != indices[at]:
            stride = indices[stop] - indices[at]
            while stop < len(indices) and indices[stop] - indices[stop - 1] == stride:
                stop += 1
        runs.append((indices[at], stride, stop - at))
        at = stop
    return runs


def _gather(site: Site) -> Stmt | None:
    axis, (sizes,), (read,) = int_attr(site.attrs, "axis"), site.sizes, site.reads
    parts, start = [], 0
    for first, stride, count in index_runs(ints_attr(site.attrs, "indices")):

        def element(
            row: Expr, at: Indices, first: int = first, stride: int = stride, start: int = start
        ) -> Stmt:
            value = read(row, _put(at, axis, at[axis] * stride + first))
            return site.write(row, _put(at, axis, at[axis] + start), value)

        parts.append(each_element(site.rows, _resize(sizes, axis, count), site.width, element))
        start += count
    return tir.sequence(parts)


def _scatter_add(site: Site) -> Stmt | None:
    axis, (sizes,), (read,) = int_attr(site.attrs, "axis"), site.sizes, site.reads
    parts, start = [_fill(site, site.out)], 0
    for first, stride, count in index_runs(ints_attr(site.attrs, "indices")):

        def element(
            row: Expr, at: Indices, first: int = first, stride: int = stride, start: int = start
        ) -> Stmt:
            target = _put(at, axis, at[axis] * stride + first)
            value = read(row, _put(at, axis, at[axis] + start))
            return site.write(row, target, site.current(row, target) + value)

        parts.append(each_element(site.rows, _resize(sizes, axis, count), site.width, element))
        start += count
    return tir.sequence(parts)


def _reduce(combine: Callable[[Expr, Expr], Expr], neutral: float) -> Callable[[Site], Stmt | None]:
    def lower(site: Site) -> Stmt | None:
        axis, (sizes,), (read,) = int_attr(site.attrs, "axis"), site.sizes, site.reads
        last = axis == len(sizes) - 1
        tile = site.machine.tile(site.dtype, site.out[-1]) if site.out else 1

        def results(first: Expr, count: int) -> Stmt | None:
            """``count`` of them along the first axis."""

            def moved(place: Indices) -> Indices:
                return (place[0] + first, *place[1:]) if place else ()

            def term(row: Expr, out: Indices, over: Indices) -> Expr:
                place = moved((*out[:-2], out[-2] * tile + out[-1])) if out else ()
                return read(row, (*place[:axis], *over, *place[axis:]))

            fold = Fold(
                site.rows,
                (count, *site.out[1:]) if site.out else (),
                (sizes[axis],),
                term,
                lambda row, at, value: site.write(row, moved(at), value),
                combine,
                tir.number(neutral, site.dtype),
            )
            if last and is_short(fold, site.width):
                return by_short(fold)
            return by_term(fold, site.width) if last or not site.out else by_output(fold, tile)

        return _in_pieces(site, results)

    return lower


def _in_pieces(site: Site, results: Callable[[Expr, int], Stmt | None]) -> Stmt | None:
    """All results along the first axis, or those of the pieces that this part takes."""
    whole = site.out[0] if site.out else 1
    if not (site.team.is_shared and site.team.apart):
        return results(tir.index(0), whole)
    count, rest = divmod(whole, PIECE)
    start, stop, shared = site.team.share(tir.index(count), 1)
    pieces = tir.loop(stop - start, lambda k: results((start + k) * PIECE, PIECE), "piece")
    edge = results(tir.index(count * PIECE), rest) if rest else None
    return tir.sequence([*shared, pieces, site.team.last_alone(edge)])


def _along(site: Site, body: Callable[[Expr, Indices, int], Stmt | None]) -> Stmt | None:
    """``body(row, place, axis)`` for every place of the operand with its axis left out."""
    axis, (sizes,) = int_attr(site.attrs, "axis"), site.sizes
    others = sizes[:axis] + sizes[axis + 1 :]
    return tir.rows(site.rows, lambda row: tir.nest(others, lambda o: body(row, o, axis), "abcdef"))


def _running(combine: Callable[..., Expr]) -> Callable[[Site], Stmt | None]:
    """``combine`` of the result before and of the operands; the first result is the last operand.

    Lines along the last axis go one by one, others side by side in vectors.
    """

    def lower(site: Site) -> Stmt | None:
        axis, sizes = int_attr(site.attrs, "axis"), site.out
        reverse, size = bool(site.attrs.get("reverse", False)), sizes[axis]
        beside = sizes[axis + 1 :][-1:]
        outer = sizes[:axis] + sizes[axis + 1 : len(sizes) - len(beside)]

        def lines(row: Expr, outside: Indices, start: Expr, count: int) -> Stmt | None:
            total, declared = tir.registers((count,), site.dtype, "total")

            def reach(k: Expr, element: Callable[[Expr, Indices], Expr]) -> Stmt | None:
                step = (size - 1) - k if reverse else k

                def lane(v: Expr) -> Stmt | None:
                    others = (*outside, start + v) if beside else outside
                    place = (*others[:axis], step, *others[axis:])
                    written = site.write(row, place, tir.load(total, (v,)))
                    return tir.sequence([tir.store(total, (v,), element(v, place)), written])

                return tir.vectorized(count, lane)

            def advance(v: Expr, place: Indices) -> Expr:
                return combine(tir.load(total, (v,)), *(read(row, place) for read in site.reads))

            return tir.sequence(
                [
                    declared,
                    reach(tir.index(0), lambda v, place: site.reads[-1](row, place)),
                    tir.loop(size, lambda k: reach(k, advance), "k", start=1, once=True),
                ]
            )

        def all_lines(row: Expr, outside: Indices) -> Stmt | None:
            extent = beside[0] if beside else 1
            return tir.vectors(extent, site.width, partial(lines, row, outside))

        return tir.rows(site.rows, lambda row: tir.nest(outer, partial(all_lines, row), "abcdef"))

    return lower


def _linear(before: Expr, factor: Expr, addend: Expr) -> Expr:
    return before * factor + addend


def _larger(before: Expr, factor: Expr, addend: Expr) -> Expr:
    return larger(before + factor, addend)


def _argmax(site: Site) -> Stmt | None:
    def line(row: Expr, others: Indices, axis: int) -> Stmt | None:
        best, declared = tir.registers((2,), site.dtype, "best")
        value, where = (tir.index(0),), (tir.index(1),)

        def read(k: Expr) -> Expr:
            return site.reads[0](row, (*others[:axis], k, *others[axis:]))

        def advance(k: Expr) -> Stmt | None:
            found, named = tir.bind("found", read(k), site.dtype)
            held = tir.load(best, value)
            # As in NumPy, the first that is not a number counts as the largest.
            unordered = tirx.And(tirx.isnan(found), tirx.Not(tirx.isnan(held)))
            replace = tir.sequence(
                [
                    tir.store(best, value, found),
                    tir.store(best, where, tirx.Cast(site.dtype, k)),
                ]
            )
            return tir.sequence(
                [named, tirx.IfThenElse(tirx.Or(found > held, unordered), replace, None)]
            )

        return tir.sequence(
            [
                declared,
                tir.store(best, value, read(tir.index(0))),
                tir.store(best, where, site.zero()),
                tir.loop(site.sizes[0][axis], advance, "k", start=1, once=True),
                site.write(row, others, tir.load(best, where)),
            ]
        )

    return _along(site, line)


def _batch_sum(site: Site) -> Stmt | None:
    tile = site.machine.tile(site.dtype, site.out[-1]) if site.out else 1

    def term(row: Expr, out: Indices, over: Indices) -> Expr:
        place = (*out[:-2], out[-2] * tile + out[-1]) if out else ()
        return site.reads[0](over[0], place)

    fold = Fold(1, site.out, (site.rows,), term, adding(site), add, site.zero())
    return by_output(fold, tile) if site.out else by_term(fold, tile)


def adding(site: Site) -> Callable[[Expr, Indices, Expr], Stmt]:
    """Writes that add to what the result holds."""
    return lambda row, place, value: site.write(row, place, site.current(row, place) + value)


LOOPS: Mapping[str, Callable[[Site], Stmt | None]] = {
    "reduce_sum": _reduce(add, 0.0),
    "reduce_max": _reduce(larger, float("-inf")),
    "argmax": _argmax,
    "cumsum": _running(add),
    "cummax": _running(larger),
    "linear_scan": _running(_linear),
    "max_scan": _running(_larger),
    "pad": _pad,
    "gather": _gather,
    "scatter_add": _scatter_add,
    "roll": _roll,
    "batch_sum": _batch_sum,
}
