"""Which elements of a loop nest lie side by side in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

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
    i = tir.below("i", extent)
    with watched() as found:
        body(i)
    return all(_stride(access, i) in (0, 1) for access in found.accesses)


def in_one_piece(body: Callable[[Sequence[Expr]], object], sizes: Sequence[int]) -> int:
    """How many of the last axes lie in one piece in all that ``body(at)`` reads and writes.

    These may be gone through as one axis: each index of theirs but the last is 0 then, and the
    last one counts them all.
    """
    at = [tir.below("abcdefgh"[k], size) for k, size in enumerate(sizes)]
    with watched() as found:
        body(at)
    count = 1 if found.counts else len(sizes)
    for access in found.accesses:
        if count == 1:
            break
        steps = _strides(access, at)
        count = next(
            (n for n in range(1, count) if not steps or steps[-n - 1] != steps[-n] * sizes[-n]),
            count,
        )
    if count == 1 or not found.divides:
        return count
    # An index that is taken apart may be simple axis by axis only.
    zeros = [tir.index(0)] * (count - 1)
    i = tir.below("i", prod(sizes[-count:]))
    with watched() as found:
        body([*at[:-count], *zeros, i])
    return count if all(_steps(access.distance(), [i]) for access in found.accesses) else 1


def one_access(body: Callable[[], object]) -> Access | None:
    """What ``body`` reads or writes, if that is one element."""
    with watched() as found:
        body()
    return found.accesses[0] if len(found.accesses) == 1 else None


def step(body: Callable[[Expr], object]) -> int | None:
    """How many elements there are from what ``body(i)`` reads or writes to what ``body(i + 1)``
    does, if that is one element, and always as far."""
    i = tir.length("i")
    access = one_access(lambda: body(i))
    return None if access is None else _stride(access, i)


def _stride(access: Access, variable: Expr) -> int | None:
    """Elements between the places of an access for one number and the next, if always as many."""
    found = _strides(access, [variable])
    return found[0] if found else None


def _strides(access: Access, variables: Sequence[Expr]) -> list[int]:
    """The same for several variables; empty if it is not always as many for one of them."""
    return _steps(tir.simplified(access.distance()), variables)


def _steps(place: Expr, variables: Sequence[Expr]) -> list[int]:
    """The factors of variables in a sum; empty if it is none."""
    found = detect_linear_equation(place, list(variables))[: len(variables)]
    if not found or not all(isinstance(factor, tirx.IntImm) for factor in found):
        return []
    return [int(factor) for factor in found]
