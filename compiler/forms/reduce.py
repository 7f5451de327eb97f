"""Values without the axes along which they only repeat, and logarithms of factors."""

from __future__ import annotations

from collections.abc import Callable

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.forms.factors import Axes, is_zero
from rnndsl.compiler.forms.lift import lift, repeated
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import ints_attr
from rnndsl.compiler.ops import OPS

# exp of less than this is 0 in every type.
_NOTHING = -1e30


class Reducer:
    """Writes values of a graph for a block of time, with some of their axes only."""

    def __init__(
        self,
        builder: Builder,
        graph: Graph,
        length: int,
        value: Callable[[int], tuple[int, bool]],
    ) -> None:
        self.b, self.graph, self.length, self.value = builder, graph, length, value

    def with_time(self, value: int, axes: Axes) -> int:
        """[L, *axes]."""
        made, has_time = self.reduced(value, axes)
        return made if has_time else repeated(self.b, made, self.length)

    def reduced(self, value: int, axes: Axes) -> tuple[int, bool]:
        """A value that repeats along all axes but these, without the others; and whether it
        has time."""
        node = self.graph.definition(value)
        shape = self.graph.type_of(value).shape
        if axes == tuple(range(len(shape))):
            return self.value(value)
        kept = tuple(shape[a] for a in axes)
        assert isinstance(node, Node)
        if node.op == "full":
            return self.b.op("full", shape=kept, value=node.attr("value")), False
        if node.op == "broadcast":
            sources = ints_attr(dict(node.attrs), "axes")
            inner = tuple(k for k, axis in enumerate(sources) if axis in axes)
            made, has_time = self.reduced(node.operands[0], inner)
            if len(inner) == len(axes):
                return made, has_time
            places = tuple(axes.index(sources[k]) + has_time for k in inner)
            lead = self.b.type_of(made).shape[:has_time]
            places = (0, *places) if has_time else places
            return self.b.op("broadcast", made, shape=(*lead, *kept), axes=places), has_time
        assert OPS[node.op].elementwise
        operands = [self.reduced(v, axes) for v in node.operands]
        return lift(self.b, node, operands, self.length), any(t for _, t in operands)

    # -------------------------------------------------------------------------- logarithms

    def logarithm(self, value: int, axes: Axes) -> tuple[int, int | None] | None:
        """The logarithm [L, *axes] of a factor, and 1 where the factor is 0 (the logarithm is
        0 there); None where no closed form is known to be as exact as the factor."""
        node = self.graph.definition(value)
        if not isinstance(node, Node):
            return None
        match node.op:
            case "broadcast":
                return self._through(node, axes)
            case "exp":
                return self._masked(self.with_time(node.operands[0], axes))
            case "sigmoid":
                made = self.with_time(node.operands[0], axes)
                return self._masked(self.b.op("logsigmoid", made))
            case "mul":
                found = [self.logarithm(v, axes) for v in node.operands]
                if found[0] is None or found[1] is None:
                    return None
                log = self.b.op("add", found[0][0], found[1][0])
                return log, self._either(found[0][1], found[1][1])
            case "where":
                return self._chosen(node, axes)
            case "full":
                number = node.attr("value")
                if number == 1:
                    return self._constant(0.0, value, axes), None
        return None

    def _through(self, node: Node, axes: Axes) -> tuple[int, int | None] | None:
        sources = ints_attr(dict(node.attrs), "axes")
        inner = tuple(k for k, axis in enumerate(sources) if axis in axes)
        found = self.logarithm(node.operands[0], inner)
        return found if found is not None and len(inner) == len(axes) else None

    def _chosen(self, node: Node, axes: Axes) -> tuple[int, int | None] | None:
        """Where one choice is 0, as before a restart, it counts as a zero."""
        condition, yes, no = node.operands
        flag = self.with_time(condition, axes)
        nothing = self.b.full(0.0, self.b.type_of(flag).shape)
        one = self.b.full(1.0, self.b.type_of(flag).shape)
        logs, zeros = [], []
        for choice in (yes, no):
            if is_zero(self.graph, choice):
                logs.append(nothing)
                zeros.append(one)
                continue
            found = self.logarithm(choice, axes)
            if found is None:
                return None
            logs.append(found[0])
            zeros.append(nothing if found[1] is None else found[1])
        chosen_zeros = None
        if any(z is not nothing for z in zeros):
            chosen_zeros = self.b.op("where", flag, *zeros)
        return self.b.op("where", flag, *logs), chosen_zeros

    def _masked(self, log: int) -> tuple[int, int]:
        """A logarithm of minus infinity is a zero."""
        shape = self.b.type_of(log).shape
        zeros = self.b.op("lt", log, self.b.full(_NOTHING, shape))
        return self.b.op("where", zeros, self.b.full(0.0, shape), log), zeros

    def _either(self, left: int | None, right: int | None) -> int | None:
        if left is None or right is None:
            return right if left is None else left
        return self.b.op("max", left, right)

    def _constant(self, number: float, value: int, axes: Axes) -> int:
        shape = tuple(self.graph.type_of(value).shape[a] for a in axes)
        return repeated(self.b, self.b.full(number, shape), self.length)
