"""Statements of the generated code: names for values, constants, expressions."""

from __future__ import annotations

from rnndsl.backends.torch.contractions import contraction, matrix_by_row, weight_and_vector
from rnndsl.backends.torch.expressions import (
    EXPRESSIONS,
    TAKES_LITERALS,
    Operand,
    Site,
    number,
    shape_text,
)
from rnndsl.backends.torch.naming import RESERVED, unique, value_names
from rnndsl.compiler.ir import Graph, LeafRole, Node
from rnndsl.compiler.op_types import int_attr

LEAD = {0: "", 1: "B, ", 2: "T, B, "}


class Statements:
    """Writes one statement for each node.

    ``prelude`` comes before everything else: constants and views of parameters.  ``streams``
    holds the text of each value outside of loops, ``local`` that of values of one time step.
    ``fused`` maps a sum W·v + u to (product, u), where that is to be one call.
    """

    def __init__(self, graph: Graph, like: str, fused: dict[int, tuple[int, int]]) -> None:
        self.graph = graph
        self.names = value_names(graph)
        self.like = like or self.leaf_names(LeafRole.INPUT)[0]
        self.fused = fused
        self.taken = {*self.names, *RESERVED}
        self.prelude: list[str] = []
        self.streams: dict[int, str] = {}
        self.local: dict[int, str] = {}
        self._hoisted: dict[str, str] = {}

    def leaf_names(self, role: LeafRole) -> list[str]:
        pairs = zip(self.names, self.graph.leaves, strict=False)
        return [name for name, leaf in pairs if leaf.role is role]

    def unique(self, name: str) -> str:
        """A name that nothing else in the function has."""
        return unique(name, self.taken)

    def node(self, value: int) -> Node:
        found = self.graph.definition(value)
        assert isinstance(found, Node)
        return found

    def assign(self, value: int, lines: list[str], depth: int) -> None:
        """The statement that computes a node, with ``depth`` leading axes if it is batched."""
        node = self.node(value)
        if node.op == "full":
            return  # made where it is first asked for, if it is not a plain number there
        name = self.names[value]
        lines.append(f"{name} = {self._expression(value, node, depth)}")
        (self.local if depth == 1 else self.streams)[value] = name

    def cut(self, parts: tuple[int, ...], lines: list[str]) -> None:
        """The statement that computes the slices of a shared value, which are all of it.

        "Unsafe" for the caller are results that autograd takes for no views of each other: as
        parts of gradients they may be changed in place.
        """
        node = self.node(parts[0])
        (operand,) = node.operands
        axis = int_attr(dict(node.attrs), "axis")
        lengths = tuple(self.graph.type_of(value).sizes[axis] for value in parts)
        names = [self.names[value] for value in parts]
        whole = self.stream(operand)
        lines.append(f"{', '.join(names)} = {whole}.unsafe_split_with_sizes({lengths}, {axis})")
        self.streams.update(zip(parts, names, strict=True))

    def stream(self, value: int) -> str:
        """The text of a value outside of loops."""
        if value not in self.streams:
            node = self.graph.definition(value)
            if not isinstance(node, Node) or node.op != "full":
                raise KeyError(f"{self.graph.name}: {self.names[value]} is used before it is made")
            text = EXPRESSIONS["full"](node, (), self._site())
            self.prelude.append(f"{self.names[value]} = {text}")
            self.streams[value] = self.names[value]
        return self.streams[value]

    def repeated(self, value: int) -> str:
        """A value as a stream [T, B, *shape], also if it is shared."""
        return self.expanded(value, self.stream(value), 2)

    def expanded(self, value: int, text: str, depth: int) -> str:
        """``text`` with ``depth`` leading axes, if the value behind it is shared."""
        kind = self.graph.type_of(value)
        return text if kind.batched else f"{text}.expand{shape_text(LEAD[depth], kind.sizes)}"

    def text(self, value: int) -> str:
        """The text of a value in the current place: a loop's, if it has one there."""
        return self.local.get(value) or self.stream(value)

    def _operand(self, value: int, depth: int, literal: bool) -> Operand:
        kind = self.graph.type_of(value)
        constant = self._constant(value) if literal else None
        if constant is not None:
            return Operand(number(constant), kind, "", literal=True)
        return Operand(self.text(value), kind, LEAD[depth if kind.batched else 0])

    def _constant(self, value: int) -> float | None:
        """The number that all elements of a value are, if it is a constant."""
        node = self.graph.definition(value)
        while isinstance(node, Node) and node.op in ("broadcast", "reshape"):
            node = self.graph.definition(node.operands[0])
        if not isinstance(node, Node) or node.op != "full":
            return None
        constant = node.attr("value")
        assert isinstance(constant, int | float)
        return float(constant)

    def _expression(self, value: int, node: Node, depth: int) -> str:
        if value in self.fused:
            return self._sum(*self.fused[value], depth)
        # A number will do for a constant, as long as one of the last two operands is a tensor.
        literal = node.op in TAKES_LITERALS and any(
            self._constant(v) is None for v in node.operands[-2:]
        )
        first = 1 if node.op == "where" else 0
        operands = tuple(
            self._operand(v, depth, literal and position >= first)
            for position, v in enumerate(node.operands)
        )
        if node.op == "contract":
            return contraction(node, operands, self._hoist)
        return EXPRESSIONS[node.op](node, operands, self._site())

    def _sum(self, product: int, addend: int, depth: int) -> str:
        """W·v + u as one call."""
        node = self.node(product)
        found = weight_and_vector(
            node, tuple(self._operand(v, depth, False) for v in node.operands)
        )
        assert found is not None
        weight, vector, transposed = found
        other = self._operand(addend, depth, False)
        if not other.lead:
            matrix = f"{weight.text}.t()" if transposed else weight.text
            return f"F.linear({vector.text}, {matrix}, {other.text})"
        matrix = matrix_by_row(weight, transposed, self._hoist)
        return f"torch.addmm({other.text}, {vector.text}, {matrix})"

    def _site(self) -> Site:
        return Site(self.like, self._indices, self.scans)

    def _indices(self, indices: tuple[int, ...]) -> str:
        tensor = f"torch.tensor({list(indices)}, device={self.like}.device)"
        return self._hoist_as(tensor, "indices", self.prelude)

    def scans(self) -> str:
        """The name of the module of scans, which the code imports when it is first asked for."""
        line = "from rnndsl.backends.torch import scans"
        if line not in self.prelude:
            self.prelude.append(line)
        return "scans"

    def _hoist(self, text: str, suffix: str) -> str:
        """The name of a view of a shared value, made once."""
        return self._hoist_as(f"{text}{suffix}", f"{text}_t", self.prelude)

    def _hoist_as(self, expression: str, name: str, place: list[str]) -> str:
        if expression not in self._hoisted:
            self._hoisted[expression] = self.unique(name)
            place.append(f"{self._hoisted[expression]} = {expression}")
        return self._hoisted[expression]
