"""A linear scan over one block of time: the state after each step, as a graph."""

from __future__ import annotations

from collections.abc import Callable

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.forms.decay import from_logarithms
from rnndsl.compiler.forms.factors import varying_axes
from rnndsl.compiler.forms.lift import repeated
from rnndsl.compiler.forms.reduce import Reducer
from rnndsl.compiler.forms.scan_map import MapKind, ScanMap
from rnndsl.compiler.ir import Graph
from rnndsl.dims import dim

_LETTERS = "abcdefgh"


def solve(
    builder: Builder,
    reducer: Reducer,
    graph: Graph,
    mapped: ScanMap,
    length: int,
    value: Callable[[int], tuple[int, bool]],
) -> tuple[int, int]:
    """The stream [L, *shape] of a state in normal form, with ``s' = a * s + b`` or
    ``s' = max(a + s, b)`` for each element, and the state after the block.

    The latter is made from the state before the block alone, not from the stream: so nothing
    else recurs from block to block.
    """

    def timed(handle: tuple[int, bool]) -> int:
        return handle[0] if handle[1] else repeated(builder, handle[0], length)

    addend, (state, _) = timed(value(mapped.addend)), value(mapped.leaf)
    maximum = mapped.kind is MapKind.MAXIMUM
    multiply, add = ("add", "max") if maximum else ("mul", "add")
    running, prefix, axes = _from_nothing(
        builder, reducer, graph, mapped, addend, lambda v: timed(value(v))
    )

    def joined(running: int, prefix: int | None, state: int, lead: int) -> int:
        if prefix is not None:
            shape = builder.type_of(running).shape
            places = (*range(lead), *(a + lead for a in axes))
            if len(places) < len(shape):
                prefix = builder.op("broadcast", prefix, shape=shape, axes=places)
            state = builder.op(multiply, prefix, state)
        return builder.op(add, running, state)

    def last(stream: int) -> int:
        bounds = (dim(length - 1), dim(length))
        row = builder.op("slice", stream, axis=0, bounds=bounds)
        return builder.op("reshape", row, shape=builder.type_of(stream).shape[1:])

    stream = joined(running, prefix, repeated(builder, state, length), 1)
    end = joined(last(running), None if prefix is None else last(prefix), state, 0)
    return stream, end


def _from_nothing(
    builder: Builder,
    reducer: Reducer,
    graph: Graph,
    mapped: ScanMap,
    addend: int,
    timed: Callable[[int], int],
) -> tuple[int, int | None, tuple[int, ...]]:
    """The stream without a state before the block; the products of factors from its start
    [L, *axes], None where they are 1; and the axes of the state that those have."""
    maximum = mapped.kind is MapKind.MAXIMUM
    rank = graph.type_of(mapped.leaf).rank
    if mapped.factor is None:
        if maximum:
            return builder.op("cummax", addend, axis=0), None, ()
        return builder.op("cumsum", addend, axis=0, reverse=False), None, ()
    axes = varying_axes(graph, mapped.factor)
    if not maximum and len(axes) < rank:
        logs = reducer.logarithm(mapped.factor, axes)
        if logs is not None:
            # One factor for many elements: all its decays, and one matrix product.
            decay = from_logarithms(builder, *logs)
            whole = _LETTERS[:rank]
            some = "".join(whole[a] for a in axes)
            spec = f"{some}ts,s{whole}->t{whole}"
            within = builder.op("contract", decay.matrix, addend, spec=spec, sum_batch=False)
            return within, decay.prefix, axes
    running, prefix = _one_by_one(builder, timed(mapped.factor), addend, maximum)
    return running, prefix, tuple(range(rank))


def _one_by_one(builder: Builder, factor: int, addend: int, maximum: bool) -> tuple[int, int]:
    """The stream and the products of factors, one step after the other: a block is short, and
    all else goes side by side."""
    if maximum:
        made = builder.op("max_scan", factor, addend, axis=0, reverse=False)
        return made, builder.op("cumsum", factor, axis=0, reverse=False)
    made = builder.op("linear_scan", factor, addend, axis=0, reverse=False)
    # The first factor is added to nothing, and what follows multiplies it.
    length = builder.type_of(factor).shape[0]
    first = builder.op("slice", factor, axis=0, bounds=(dim(0), dim(1)))
    start = builder.op("pad", first, axis=0, bounds=(dim(0), length - dim(1)))
    return made, builder.op("linear_scan", factor, start, axis=0, reverse=False)
