"""What a piece of a kernel reads and writes, noted while it is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from rnndsl.backends.tvm.tir_types import Buffer, Expr


@dataclass(frozen=True, slots=True)
class Access:
    """An element that is read or written."""

    buffer: Buffer
    indices: tuple[Expr, ...]


_accesses: ContextVar[list[Access] | None] = ContextVar("accesses", default=None)


@contextmanager
def watched() -> Iterator[list[Access]]:
    """The accesses to memory that are built while this lasts."""
    found = list[Access]()
    token = _accesses.set(found)
    try:
        yield found
    finally:
        _accesses.reset(token)


def accessed(buffer: Buffer, indices: Sequence[Expr]) -> None:
    """Note an access, if somebody watches."""
    found = _accesses.get()
    if found is not None:
        found.append(Access(buffer, tuple(indices)))
