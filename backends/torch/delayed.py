"""States before each step, from the stream of states after each step.

They are the same numbers one step later, with the state before the first step in front.  Where
that lies in front of the stream already, nothing is copied.
"""

from __future__ import annotations

from ctypes import memmove, memset
from math import prod

import torch
from torch import Tensor

# Elements of a cache line, at which a stream begins.
_LINE = 16
# Elements of a stream from which on a copy costs more than to look.
LEAST = 1 << 14


def stream_beside(first: Tensor, shape: tuple[int, ...], reverse: bool) -> Tensor:
    """A new stream of a shape [T, B, *shape], uninitialised, with ``first`` [B, *shape] before its
    first step in memory, or behind the last where time is ``reverse``."""
    size, steps = first.numel(), shape[0]
    room = -(-size // _LINE) * _LINE
    begin = 0 if reverse else room
    memory = first.new_empty((room + steps * size,))
    start, width = first.contiguous(), memory.element_size()
    address = memory.data_ptr() + (steps * size if reverse else 0) * width
    memset(address, 0, room * width)
    # A third of the time of slicing and copying.
    memmove(address + (0 if reverse else room - size) * width, start.data_ptr(), start.nbytes)
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return memory.set_(memory.untyped_storage(), begin, shape, strides)


def delayed(stream: Tensor, first: Tensor, reverse: bool) -> Tensor:
    """The states before each step [T, B, *shape], from those after each step and the first.

    It may share memory with the stream.
    """
    found = _beside(stream, first, reverse) if stream.numel() >= LEAST else None
    if found is not None:
        return found
    first = first.unsqueeze(0)
    return torch.cat([stream[1:], first] if reverse else [first, stream[:-1]])


def _beside(stream: Tensor, first: Tensor, reverse: bool) -> Tensor | None:
    """The stream moved by a step, if ``first`` lies in memory where that ends up."""
    size, begin = first.numel(), stream.storage_offset()
    place = begin + stream.numel() if reverse else begin - size
    elements = stream.untyped_storage().nbytes() // stream.element_size()
    if not stream.is_contiguous() or place < 0 or place + size > elements:
        return None
    # Whatever lies there, it is the right one if its numbers are.
    if not torch.equal(stream.as_strided(first.shape, stream.stride()[1:], place), first):
        return None
    moved = begin + size if reverse else begin - size
    return stream.as_strided(stream.shape, stream.stride(), moved)
