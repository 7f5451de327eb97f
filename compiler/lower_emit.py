"""The emitter: nodes that carry one span of the user's file, and the ops that lowering needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import AttrValue, Node
from rnndsl.dims import Dim, dim
from rnndsl.source import Span
from rnndsl.typed import TypedValue
from rnndsl.types import known


class Emitter:
    """Appends nodes that all carry the span of one value of the user's file."""

    def __init__(self, builder: Builder, span: Span | None) -> None:
        self.builder = builder
        self.span = span
        self.made: set[int] = set()

    def shape(self, value: int) -> tuple[Dim, ...]:
        return self.builder.type_of(value).shape

    def op(self, op: str, *operands: int, **attrs: AttrValue) -> int:
        """A node; elementwise operands must have equal shapes."""
        node = self.builder.node(op, operands, tuple(sorted(attrs.items())), span=self.span)
        self.made.add(node)
        return node

    def full(self, value: float, shape: tuple[Dim, ...] = ()) -> int:
        return self.op("full", value=float(value), shape=shape)

    def spread(self, value: int, shape: tuple[Dim, ...]) -> int:
        """A scalar repeated to a shape; constants are made in that shape at once."""
        if self.shape(value) == shape:
            return value
        entry = self.builder.definition(value)
        if isinstance(entry, Node) and entry.op == "full":
            constant = entry.attr("value")
            assert isinstance(constant, (int, float))
            return self.full(constant, shape)
        return self.op("broadcast", value, shape=shape, axes=())

    def each(self, op: str, *operands: int) -> int:
        """An elementwise node; scalars are repeated to the others' shape."""
        shape = next((self.shape(v) for v in operands if self.shape(v)), ())
        return self.op(op, *(self.spread(v, shape) for v in operands))

    def const(self, op: str, value: int, number: float) -> int:
        """``value op number``."""
        return self.op(op, value, self.full(number, self.shape(value)))

    def size(self, length: Dim, shape: tuple[Dim, ...] = ()) -> int:
        """An axis length as a value, also while it is open: as many ones, summed."""
        number = known(length)
        if number is not None:
            return self.full(number, shape)
        ones = self.full(1.0, (length,))
        return self.spread(self.op("reduce_sum", ones, axis=0), shape)

    def along(self, value: int, axis: int, shape: tuple[Dim, ...]) -> int:
        """A value that lacks ``axis`` repeated along it."""
        axes = tuple(k for k in range(len(shape)) if k != axis)
        return self.op("broadcast", value, shape=shape, axes=axes)


Lowering = Callable[[Emitter, TypedValue, Sequence[int]], int]


def axis_option(e: Emitter, value: TypedValue, operand: int) -> int | None:
    """The axis as a number from 0; None when all axes are meant."""
    axis = value.option("axis")
    if axis is None:
        return None
    assert isinstance(axis, int)
    return axis % len(e.shape(operand))


def size_of(size: object) -> Dim:
    """A dimension option."""
    assert isinstance(size, (int, Dim))
    return dim(size)
