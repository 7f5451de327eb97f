"""What a piece of a kernel reads and writes, noted while it is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from rnndsl.backends.tvm.buffers import Buffer
from rnndsl.backends.tvm.tir_types import Expr


@dataclass(frozen=True, slots=True)
class Access:
    """An element that is read or written."""

    buffer: Buffer
    indices: tuple[Expr, ...]

    def distance(self) -> Expr:
        """How many elements of the buffer are before it."""
        return self.buffer.distance(self.indices)


@dataclass(slots=True)
class Watched:
    """What is accessed, whether an index is also a number that is computed with, and whether one
    is taken apart."""

    accesses: list[Access] = field(default_factory=list)
    counts: bool = False
    divides: bool = False


_watched: ContextVar[Watched | None] = ContextVar("watched", default=None)


@contextmanager
def watched() -> Iterator[Watched]:
    """The accesses to memory that are built while this lasts."""
    found = Watched()
    token = _watched.set(found)
    try:
        yield found
    finally:
        _watched.reset(token)


def accessed(buffer: Buffer, indices: Sequence[Expr]) -> None:
    """Note an access, if somebody watches."""
    found = _watched.get()
    if found is not None:
        found.accesses.append(Access(buffer, tuple(indices)))


def counted() -> None:
    """Note that an index is computed with, if somebody watches."""
    found = _watched.get()
    if found is not None:
        found.counts = True


def taken_apart() -> None:
    """Note that an index is divided, if somebody watches."""
    found = _watched.get()
    if found is not None:
        found.divides = True
