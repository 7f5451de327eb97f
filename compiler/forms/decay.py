"""Products of factors over stretches of a block of time, as graphs.

For factors f_1 .. f_L the decay from step s to step t is the product of those after s up to t.
All decays of a block are a lower triangle D with ones on its diagonal; ``prefix`` [L] are the
products from the start of the block.  Nothing is ever divided by a factor: a factor may be 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnndsl.compiler.builder import Builder
from rnndsl.dims import dim

_INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Decay:
    """``matrix`` [*axes, L, L] and ``prefix`` [L, *axes]."""

    matrix: int
    prefix: int


def _shape(builder: Builder, value: int) -> tuple[int, ...]:
    return builder.type_of(value).sizes


def _spread(builder: Builder, value: int, shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return builder.op("broadcast", value, shape=tuple(map(dim, shape)), axes=axes)


def time_last(builder: Builder, value: int) -> int:
    """[L, *axes] as [*axes, L]."""
    rank = builder.type_of(value).rank
    return builder.op("transpose", value, perm=(*range(1, rank), 0)) if rank > 1 else value


def time_first(builder: Builder, value: int) -> int:
    """[*axes, L] as [L, *axes]."""
    rank = builder.type_of(value).rank
    return builder.op("transpose", value, perm=(rank - 1, *range(rank - 1))) if rank > 1 else value


def from_logarithms(builder: Builder, logs: int, zeros: int | None) -> Decay:
    """From logarithms [L, *axes] of positive factors; ``zeros`` is 1 where a factor is 0.

    Sums of logarithms are subtracted, never products divided; a stretch with a zero in it
    counts zeros before and at its ends.
    """
    total = time_last(builder, builder.op("cumsum", logs, axis=0, reverse=False))
    counted = None
    if zeros is not None:
        counted = time_last(builder, builder.op("cumsum", zeros, axis=0, reverse=False))
    *axes, length = _shape(builder, total)
    rank, square = len(axes), (*axes, length, length)
    at = (*range(rank), rank), (*range(rank), rank + 1)
    later, earlier = (_spread(builder, total, square, place) for place in at)
    allowed = _lower(builder, square)
    if counted is not None:
        same = builder.op("eq", *(_spread(builder, counted, square, place) for place in at))
        allowed = builder.op("mul", allowed, same)
    exponent = builder.op("sub", later, earlier)
    matrix = _exp_where(builder, allowed, exponent)
    if counted is None:
        return Decay(matrix, time_first(builder, builder.op("exp", total)))
    none = builder.op("eq", counted, builder.full(0, builder.type_of(counted).shape))
    return Decay(matrix, time_first(builder, _exp_where(builder, none, total)))


def _exp_where(builder: Builder, allowed: int, exponent: int) -> int:
    """exp where allowed, else 0; what is not allowed may be too large for exp."""
    never = builder.full(-_INFINITY, builder.type_of(exponent).shape)
    return builder.op("exp", builder.op("where", allowed, exponent, never))


def _lower(builder: Builder, square: tuple[int, ...]) -> int:
    """1 where t >= s."""
    shape = tuple(map(dim, square))
    rank = len(square)
    rows, columns = (builder.op("iota", axis=a, shape=shape) for a in (rank - 2, rank - 1))
    return builder.op("ge", rows, columns)


def ones_below(builder: Builder, length: int) -> int:
    """The decays of factors that are 1, [L, L]."""
    return _lower(builder, (length, length))


# ---------------------------------------------------------------------------------- levels


@dataclass(frozen=True, slots=True)
class Level:
    """Blocks of m steps in pairs, [L/2m, m, *axes] each: products from the start of the second
    block, and those after each step to the end of the first."""

    size: int
    into: int
    out_of: int


def levels(builder: Builder, factors: int) -> tuple[list[Level], int, int]:
    """For any factors [L, *axes]: pairs of blocks of 1, 2, 4 ... steps; then the prefix and the
    suffix of the whole block [L, *axes].  L is a power of 2."""
    length, *axes = _shape(builder, factors)
    prefix = _reshape(builder, factors, (length, 1, *axes))
    suffix = builder.full(1.0, builder.type_of(prefix).shape)
    found, size = [], 1
    while size < length:
        pairs = (length // (2 * size), 2, size, *axes)
        first, second = halves(builder, prefix, pairs)
        end_first, end_second = halves(builder, suffix, pairs)
        found.append(Level(size, second, end_first))
        across = _spread_row(builder, _last(builder, first), second)
        whole = _spread_row(builder, _last(builder, second), end_first)
        prefix = builder.op("concat", first, builder.op("mul", second, across), axis=1)
        suffix = builder.op("concat", builder.op("mul", end_first, whole), end_second, axis=1)
        size *= 2
    flat = (length, *axes)
    return found, _reshape(builder, prefix, flat), _reshape(builder, suffix, flat)


def halves(builder: Builder, value: int, pairs: tuple[int, ...]) -> tuple[int, int]:
    """The first and the second block of each pair, [L/2m, m, *axes]."""
    paired = _reshape(builder, value, pairs)
    shape = (pairs[0], *pairs[2:])
    first, second = (
        _reshape(builder, builder.op("slice", paired, axis=1, bounds=(dim(k), dim(k + 1))), shape)
        for k in (0, 1)
    )
    return first, second


def _last(builder: Builder, value: int) -> int:
    """[n, m, *axes] at its last step, [n, *axes]."""
    count, size, *axes = _shape(builder, value)
    row = builder.op("slice", value, axis=1, bounds=(dim(size - 1), dim(size)))
    return _reshape(builder, row, (count, *axes))


def _spread_row(builder: Builder, row: int, like: int) -> int:
    """[n, *axes] as [n, m, *axes]."""
    shape = _shape(builder, like)
    return _spread(builder, row, shape, (0, *range(2, len(shape))))


def _reshape(builder: Builder, value: int, shape: tuple[int, ...]) -> int:
    if _shape(builder, value) == shape:
        return value
    return builder.op("reshape", value, shape=tuple(map(dim, shape)))


def assemble(
    builder: Builder,
    diagonal: int,
    size: int,
    below: Callable[[int], int],
) -> int:
    """A lower triangle [*axes, L, L] from its diagonal [*axes, L] and, for each level, the
    blocks below the diagonal ``below(level)`` [*axes, L/2m, m, m]."""
    *axes, length = _shape(builder, diagonal)
    rank = len(axes)
    found = _reshape(builder, diagonal, (*axes, length, 1, 1))
    for level in range(size):
        m = 2**level
        shape = (*axes, length // (2 * m), 2, m, m)
        paired = _reshape(builder, found, shape)
        flat = (*shape[: rank + 1], m, m)
        first, second = (
            _reshape(
                builder,
                builder.op("slice", paired, axis=rank + 1, bounds=(dim(k), dim(k + 1))),
                flat,
            )
            for k in (0, 1)
        )
        zero = builder.full(0.0, builder.type_of(first).shape)
        top = builder.op("concat", first, zero, axis=rank + 2)
        bottom = builder.op("concat", below(level), second, axis=rank + 2)
        found = builder.op("concat", top, bottom, axis=rank + 1)
    return _reshape(builder, found, (*axes, length, length))


def from_products(builder: Builder, factors: int) -> Decay:
    """From any factors [L, *axes], of any sign: only products, by levels."""
    found, prefix, _ = levels(builder, factors)
    length, *axes = _shape(builder, factors)
    letters = "abcdefgh"[: len(axes)]

    def below(level: int) -> int:
        spec = f"zy{letters},zx{letters}->{letters}zyx"
        pair = found[level]
        return builder.op("contract", pair.into, pair.out_of, spec=spec, sum_batch=False)

    ones = builder.full(1.0, tuple(map(dim, (*axes, length))))
    return Decay(assemble(builder, ones, len(found), below), prefix)
