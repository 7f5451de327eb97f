"""Which elements of a loop nest lie side by side in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import tirx
from tvm.sym import detect_linear_equation

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.accesses import Access, watched
from rnndsl.backends.tvm.tir_types import Expr


def vector_axis(sizes: Sequence[int]) -> int:
    """The last axis that has not one element; the last of all if there is none."""
    return max((axis for axis, size in enumerate(sizes) if size != 1), default=len(sizes) - 1)


def side_by_side(body: Callable[[Expr], object], extent: int) -> bool:
    """Whether everything that ``body(i)`` reads and writes is the same element for every ``i``
    below ``extent``, or that beside the one of ``i - 1``."""
    i, _ = tir.within("i", tir.index(0), extent)
    with watched() as accesses:
        body(i)
    return all(_stride(access, i) in (0, 1) for access in accesses)


def one_access(body: Callable[[], object]) -> Access | None:
    """What ``body`` reads or writes, if that is one element."""
    with watched() as accesses:
        body()
    return accesses[0] if len(accesses) == 1 else None


def step(body: Callable[[Expr], object]) -> int | None:
    """How many elements there are from what ``body(i)`` reads or writes to what ``body(i + 1)``
    does, if that is one element, and always as far."""
    i = tir.length("i")
    access = one_access(lambda: body(i))
    return None if access is None else _stride(access, i)


def _stride(access: Access, variable: Expr) -> int | None:
    """Elements between the places of an access for one number and the next, if always as many."""
    place = tir.index(0)
    for size, at in zip(access.buffer.shape, access.indices, strict=True):
        place = place * size + at
    found = detect_linear_equation(tir.simplified(place), [variable])
    factor = found[0] if found else None
    return int(factor) if isinstance(factor, tirx.IntImm) else None
