"""How each op behaves in its operands: the column from which recurrence classes are proved.

Two arithmetics matter: the usual one, and (max, +), where the larger of two numbers is their
sum and their sum is their product.  A running maximum is linear in the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from rnndsl.compiler.ir import Node
from rnndsl.compiler.op_types import dims_attr, ints_attr, parse_spec
from rnndsl.dims import Dim, dim


class Linearity(Enum):
    """In which operands a result is linear; those that do not recur may be anything."""

    TOGETHER = "linear in all operands at once"
    EACH = "linear in each operand while the others do not recur"
    FIRST = "linear in the first operand while the second does not recur"
    CHOSEN = "linear in the last two operands while the first, that chooses, does not recur"
    NONE = "not linear"

    def holds(self, recurring: frozenset[int]) -> bool:
        """Whether an op is linear when the operands at these places recur."""
        match self:
            case Linearity.TOGETHER:
                return True
            case Linearity.EACH:
                return len(recurring) == 1
            case Linearity.FIRST:
                return recurring == {0}
            case Linearity.CHOSEN:
                return 0 not in recurring
            case Linearity.NONE:
                return False

    def factors(self, recurring: frozenset[int], count: int) -> frozenset[int]:
        """The operands that decide by what the recurring ones are multiplied."""
        if self is Linearity.TOGETHER:
            return frozenset()
        if self is Linearity.CHOSEN:
            return frozenset({0})
        return frozenset(range(count)) - recurring


@dataclass(frozen=True, slots=True)
class OpLinearity:
    """The two columns: in the usual arithmetic, and in (max, +)."""

    usual: Linearity
    maximum: Linearity


_T, _E, _F, _C, _N = Linearity
# Moving elements about is linear in both; a place filled with 0 is so in the usual one alone.
_MOVES = ("broadcast", "reshape", "transpose", "concat", "slice", "gather", "roll", "stop_grad")
_FILLS = ("pad", "scatter_add", "reduce_sum", "cumsum", "batch_sum", "neg")
_CONSTANTS = ("full", "iota")  # without operands: linear as anything that does not recur
# fmt: off
_OTHERS = (
    "abs", "sign", "exp", "log", "log1p", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu",
    "softplus", "logsigmoid", "erf", "floor", "round", "step", "min", "pow", "mod", "lt", "le",
    "gt", "ge", "eq", "ne", "argmax", "inverse", "linear_scan", "max_scan",
)
# fmt: on

LINEARITY: Mapping[str, OpLinearity] = {
    **{name: OpLinearity(_T, _T) for name in (*_MOVES, *_CONSTANTS)},
    **{name: OpLinearity(_T, _N) for name in _FILLS},
    **{name: OpLinearity(_N, _N) for name in _OTHERS},
    **{name: OpLinearity(_N, _T) for name in ("max", "reduce_max", "cummax")},
    "add": OpLinearity(_T, _E),
    "sub": OpLinearity(_T, _F),
    "mul": OpLinearity(_E, _N),
    "div": OpLinearity(_F, _N),
    "contract": OpLinearity(_E, _N),
    "where": OpLinearity(_C, _C),
}


def carried_axes(
    node: Node, shape: tuple[Dim, ...], position: int, elementwise: bool
) -> tuple[int | None, ...]:
    """For each axis of an operand of that shape: the axis of the result that goes with it.

    None where an element of the result depends on several places of the operand's axis, or
    on another place than its own.
    """
    attrs, rank = dict(node.attrs), len(shape)
    same: tuple[int | None, ...] = tuple(range(rank))
    if elementwise:
        return same
    match node.op:
        case "broadcast":
            return ints_attr(attrs, "axes")
        case "transpose":
            perm = ints_attr(attrs, "perm")
            return tuple(perm.index(axis) for axis in range(rank))
        case "reshape":
            return _reshaped(shape, dims_attr(attrs, "shape"))
        case "reduce_sum" | "reduce_max" | "argmax":
            gone = attrs["axis"]
            assert isinstance(gone, int)
            return tuple(None if a == gone else a - (a > gone) for a in range(rank))
        case "contract":
            left, right, output = parse_spec(attrs["spec"])
            letters = (left, right)[position]
            return tuple(output.index(x) if x in output else None for x in letters)
        case "batch_sum" | "inverse":
            return (None,) * rank
    along = attrs.get("axis")
    return tuple(None if axis == along else axis for axis in same)


def _reshaped(before: tuple[Dim, ...], after: tuple[Dim, ...]) -> tuple[int | None, ...]:
    """Axes that a reshape leaves as they are: as long, with as much before them."""
    starts: dict[tuple[Dim, Dim], int] = {}
    total = dim(1)
    for axis, size in enumerate(after):
        if size != dim(1):
            starts[total, size] = axis
        total = total * size
    found: list[int | None] = []
    total = dim(1)
    ones = [axis for axis, size in enumerate(after) if size == dim(1)]
    for size in before:
        if size == dim(1):
            found.append(ones.pop(0) if ones else None)
        else:
            found.append(starts.get((total, size)))
        total = total * size
    return tuple(found)
