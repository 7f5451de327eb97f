"""Linear scans in other forms than steps, as functions on streams [T, B, *shape].

``linear``: s_t = a_t * s_{t-1} + b_t.  ``maximum``: s_t = max(a_t + s_{t-1}, b_t).  ``dense``:
s_t = A s_{t-1} + b_t.  Each is given the state before the first step and returns the stream of
states after each step; ``reverse`` goes from the last step to the first.

In chunks, time is cut into n blocks of L steps.  Step i of all blocks is one operation.  The
first pass runs each block from nothing and finds what it does to a state before it, which is
again a map of the same kind; a scan over the n blocks, by the same function, gives the state
before each; the second pass runs the blocks from there.  No more than n states and maps are
held besides the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

# A step of all blocks at once should be worth its call.
_ELEMENTS_PER_CALL = 16384
_SHORTEST = 8  # sequences up to this long take steps


def linear(
    factor: Tensor | None, addend: Tensor, first: Tensor, reverse: bool, form: str
) -> Tensor:
    """``factor`` [T, B, *shape], [*shape] where it never changes, or None for 1."""
    if form == "convolution":
        return _convolved(factor, addend, first, reverse)
    return _chunked(_Linear, factor, addend, first, reverse)


def maximum(
    factor: Tensor | None, addend: Tensor, first: Tensor, reverse: bool, form: str
) -> Tensor:
    """As :func:`linear`, in (max, +) arithmetic; None stands for 0."""
    return _chunked(_Maximum, factor, addend, first, reverse)


def along(kind: str, factor: Tensor, addend: Tensor, axis: int, reverse: bool) -> Tensor:
    """``linear_scan`` or ``max_scan`` along any axis, from nothing."""
    function, nothing = _ALONG[kind]
    shape = torch.broadcast_shapes(factor.shape, addend.shape)  # type: ignore[no-untyped-call]
    factor, addend = (x.expand(shape).movedim(axis, 0) for x in (factor, addend))
    first = addend.new_full(addend.shape[1:], nothing)
    return function(factor, addend, first, reverse, "chunked").movedim(0, axis)


_ALONG = {"linear_scan": (linear, 0.0), "max_scan": (maximum, -math.inf)}


class _Linear:
    """One step of many blocks, and how a map follows another."""

    @staticmethod
    def step(factor: Tensor | None, addend: Tensor, state: Tensor, out: Tensor) -> None:
        if factor is None:
            torch.add(addend, state, out=out)
        else:
            torch.addcmul(addend, factor, state, out=out)

    @staticmethod
    def follow(before: Tensor, factor: Tensor) -> None:
        before.mul_(factor)


class _Maximum:
    """The same, with a maximum for the sum and a sum for the product."""

    @staticmethod
    def step(factor: Tensor | None, addend: Tensor, state: Tensor, out: Tensor) -> None:
        if factor is None:
            torch.maximum(addend, state, out=out)
        else:
            torch.maximum(addend, factor + state, out=out)

    @staticmethod
    def follow(before: Tensor, factor: Tensor) -> None:
        before.add_(factor)


_Arithmetic = type[_Linear] | type[_Maximum]


def _chunked(
    kind: _Arithmetic, factor: Tensor | None, addend: Tensor, first: Tensor, reverse: bool
) -> Tensor:
    out = addend.new_empty((len(addend), *first.shape))
    shared = factor is not None and factor.dim() < addend.dim()
    _run(kind, factor, shared, addend, first, reverse, out)
    return out


def _run(
    kind: _Arithmetic,
    factor: Tensor | None,
    shared: bool,
    addend: Tensor,
    first: Tensor,
    reverse: bool,
    out: Tensor,
) -> Tensor:
    """Fill ``out``; the state after the last step in the direction of time."""
    steps = len(addend)
    length = _block_length(steps, first.numel())
    whole = steps - steps % length if length else 0

    def each(start: int, stop: int, state: Tensor) -> Tensor:
        for t in _order(start, stop, reverse):
            kind.step(factor if shared or factor is None else factor[t], addend[t], state, out[t])
            state = out[t]
        return state

    if not whole:
        return each(0, steps, first)
    if reverse:
        first = each(whole, steps, first)
    a = None if factor is None else factor if shared else _blocked(factor, length)
    b, o = _blocked(addend, length), _blocked(out, length)
    order = list(_order(0, length, reverse))

    def factor_of(i: int) -> Tensor | None:
        return a if a is None or shared else a[:, i]

    # First pass: each block from nothing, and the map over the whole block.
    local = b[:, order[0]].clone()
    across = None if a is None else (a if shared else a[:, order[0]]).clone()
    for i in order[1:]:
        here = factor_of(i)
        kind.step(here, b[:, i], local, local)
        if across is not None and here is not None:
            kind.follow(across, here)
    # Between the blocks: the same recurrence.
    ends = torch.empty_like(local)
    _run(kind, across, shared, local, first, reverse, ends)
    starts = torch.cat([ends[1:], first[None]]) if reverse else torch.cat([first[None], ends[:-1]])
    # Second pass: each block from the state before it.
    state = starts
    for i in order:
        kind.step(factor_of(i), b[:, i], state, o[:, i])
        state = o[:, i]
    if reverse:
        return ends[0]
    return each(whole, steps, ends[-1])


def _block_length(steps: int, elements: int) -> int:
    """How many steps a block has; 0 where steps one by one are as good."""
    if steps <= _SHORTEST:
        return 0
    blocks = min(max(_ELEMENTS_PER_CALL // max(elements, 1), 2), math.isqrt(steps) * 2)
    return steps // blocks if steps // blocks > 1 else 0


def _blocked(stream: Tensor, length: int) -> Tensor:
    """[n, L, B, *shape] of as many whole blocks as there are."""
    count = len(stream) // length
    return stream[: count * length].view(count, length, *stream.shape[1:])


def _order(start: int, stop: int, reverse: bool) -> Iterable[int]:
    return range(stop - 1, start - 1, -1) if reverse else range(start, stop)


# -------------------------------------------------------------------------------- matrices


def dense(matrix: Tensor, addend: Tensor, first: Tensor, axis: int, reverse: bool) -> Tensor:
    """``matrix`` [out, in] works along an axis of the state, counted from the right (< 0)."""
    moved = dense_last(matrix.t(), addend.movedim(axis, -1), first.movedim(axis, -1), reverse)
    return moved.movedim(-1, axis)


def dense_last(matrix: Tensor, addend: Tensor, first: Tensor, reverse: bool) -> Tensor:
    """As :func:`dense`, on the last axis, with the matrix as [in, out]."""
    steps = len(addend)
    out = addend.new_empty((steps, *first.shape))
    length = _block_length(steps, first.numel())
    whole = steps - steps % length if length else 0

    def each(start: int, stop: int, state: Tensor) -> Tensor:
        for t in _order(start, stop, reverse):
            torch.add(state @ matrix, addend[t], out=out[t])
            state = out[t]
        return state

    if not whole:
        each(0, steps, first)
        return out
    if reverse:
        first = each(whole, steps, first)
    b, o = _blocked(addend, length), _blocked(out, length)
    order = list(_order(0, length, reverse))
    local = b[:, order[0]].clone()
    for i in order[1:]:
        local = (local @ matrix).add_(b[:, i])
    ends = dense_last(torch.linalg.matrix_power(matrix, length), local, first, reverse)
    starts = torch.cat([ends[1:], first[None]]) if reverse else torch.cat([first[None], ends[:-1]])
    state = starts
    for i in order:
        torch.add(state @ matrix, b[:, i], out=o[:, i])
        state = o[:, i]
    if not reverse:
        each(whole, steps, ends[-1])
    return out


# ----------------------------------------------------------------------------- convolution


def _convolved(factor: Tensor | None, addend: Tensor, first: Tensor, reverse: bool) -> Tensor:
    """The sum of the addends, each times a power of the factor."""
    steps = len(addend)
    shape = addend.shape[2:]
    base = torch.ones(shape, dtype=addend.dtype, device=addend.device) if factor is None else factor
    powers = _powers(base, steps)
    made = _causal(powers[:steps], addend, reverse)
    after = powers[1 : steps + 1].unsqueeze(1) * first
    return made + (after.flip(0) if reverse else after)


def _powers(base: Tensor, steps: int) -> Tensor:
    """``base`` to the powers from 0 to ``steps``, each twice as many by one product."""
    found = torch.stack([torch.ones_like(base), base])
    while len(found) <= steps:
        found = torch.cat([found, found[1:] * found[-1]])
    return found[: steps + 1]


def _causal(kernel: Tensor, stream: Tensor, reverse: bool) -> Tensor:
    """``kernel`` [T, *shape] over ``stream`` [T, B, *shape]: what came before, or comes after."""
    steps = len(stream)
    size = 2 ** (2 * steps - 1).bit_length()
    kernel_hat = torch.fft.rfft(kernel, size, dim=0).unsqueeze(1)
    if reverse:
        kernel_hat = kernel_hat.conj()
    made: Tensor = torch.fft.irfft(kernel_hat * torch.fft.rfft(stream, size, dim=0), size, dim=0)
    return made[:steps]


def dense_convolved(
    matrix: Tensor, vector: Tensor, stream: Tensor, first: Tensor, axis: int, reverse: bool
) -> Tensor:
    """s_t = A s_{t-1} + v u_t for a vector v and a stream u [T, B, *rest]."""
    steps = len(stream)
    transposed = matrix.t()
    kernel = vector[None]  # A^t v for t = 0, 1, ...
    power = transposed
    while len(kernel) < steps:
        kernel = torch.cat([kernel, kernel @ power])
        power = power @ power
    kernel = kernel[:steps].reshape(steps, *(1,) * (stream.dim() - 2), -1)
    made = _causal(kernel, stream.unsqueeze(-1), reverse)
    # What is left of the state before the first step: a scan without addends.
    start = first.movedim(axis, -1)
    if start.any():
        made += dense_last(transposed, torch.zeros_like(made), start, reverse)
    return made.movedim(-1, axis)
