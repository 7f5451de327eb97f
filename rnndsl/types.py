"""Types of the language's values: shapes over named dimensions, and static numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnndsl.dims import Dim, dim

# What is known before any data: numbers, truth values and dimensions.
Static = int | float | bool | Dim

MOST_AXES = 8  # of a value
MOST_TERMS = 64  # of a dimension


@dataclass(frozen=True, slots=True)
class ValueType:
    """The shape of one example; ``batched`` if each example and time step has its own value.

    A value that is not batched is shared: it is made of parameters and numbers alone and is
    computed once per sequence.
    """

    shape: tuple[Dim, ...]
    batched: bool

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return shape_text(self.shape)


class TypeRuleError(Exception):
    """Operands do not fit a function; ``operand`` is the position of the one to point at."""

    def __init__(self, message: str, operand: int | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.operand = operand
        self.hint = hint


def shape_text(shape: Sequence[Dim]) -> str:
    """``[N, H]`` as it is written in a file."""
    return f"[{', '.join(map(str, shape))}]"


def any_batched(operands: Sequence[ValueType]) -> bool:
    """Whether a value made of these differs between examples."""
    return any(operand.batched for operand in operands)


def elementwise_type(operands: Sequence[ValueType], what: str) -> ValueType:
    """Equal shapes, where scalars fit any shape; TypeRuleError naming ``what`` otherwise."""
    shape: tuple[Dim, ...] = ()
    first = 0
    for position, operand in enumerate(operands):
        if not operand.rank:
            continue
        if not shape:
            shape, first = operand.shape, position
        elif operand.shape != shape:
            raise TypeRuleError(
                f"{what} needs equal shapes: {_place(first, len(operands))} is "
                f"{shape_text(shape)}, {_place(position, len(operands))} is {operand}",
                position,
                _broadcast_hint(shape, operand.shape),
            )
    return ValueType(shape, any_batched(operands))


def _place(position: int, count: int) -> str:
    if count == 2:
        return ("left", "right")[position]
    return f"operand {position + 1}"


def _broadcast_hint(left: tuple[Dim, ...], right: tuple[Dim, ...]) -> str:
    if len(left) == len(right):
        return ""
    longer = left if len(left) > len(right) else right
    return (
        f"nothing is repeated silently; `broadcast{shape_text(longer)}(v, axis = 0)` "
        "repeats a value to that shape"
    )


def bounded(kind: ValueType) -> ValueType:
    """The type itself; TypeRuleError when it is too large to work with."""
    if kind.rank > MOST_AXES:
        raise TypeRuleError(f"the result has {kind.rank} axes; a value may have {MOST_AXES}")
    if any(len(size.terms) > MOST_TERMS for size in kind.shape):
        raise TypeRuleError(f"an axis length has over {MOST_TERMS} terms")
    return kind


def axis_of(axis: int, operand: ValueType) -> int:
    """A non-negative axis from one that may count from the end; TypeRuleError outside."""
    if not -operand.rank <= axis < operand.rank:
        raise TypeRuleError(f"{operand} has no axis {axis}", 0)
    return axis % operand.rank


def element_count(shape: Sequence[Dim]) -> Dim:
    """The product of the axis lengths; TypeRuleError when it has too many terms."""
    total = dim(1)
    for size in shape:
        if len(total.terms) * len(size.terms) > MOST_TERMS:
            raise TypeRuleError("the number of elements has too many terms")
        total = total * size
    return total


def known(size: Dim) -> int | None:
    """The number of a dimension that is one already, if it is whole."""
    if size.names or (size.terms and size.terms[0][1].denominator != 1):
        return None
    return int(size)
