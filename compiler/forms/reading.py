"""Products of matrix states with vectors, for a block of time.

A matrix that depends on a state is never made.  A product of it with a vector goes through the
sums, factors and choices that the matrix consists of, down to the state itself and to outer
products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.forms.factors import is_zero, varying_axes
from rnndsl.compiler.forms.matrix_scan import MatrixScan, Reader
from rnndsl.compiler.forms.parts import AXES, EXTRA, Part, times
from rnndsl.compiler.forms.reduce import Reducer
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import parse_spec
from rnndsl.source import Span

# Elementwise ops on matrices that a product goes through.
PASSED = frozenset({"add", "sub", "neg", "mul", "div", "where", "stop_grad"})


class UnreadableError(ValueError):
    """A matrix state is used in a way that needs the whole matrix."""

    def __init__(self, reason: str, span: Span | None) -> None:
        super().__init__(reason)
        self.reason, self.span = reason, span


@dataclass(frozen=True, slots=True)
class Question:
    """A product with ``query`` [L, *letters]; ``output`` are the letters of its result."""

    query: Part
    output: str
    span: Span | None


class Reading:
    """Reads matrices that depend on the states of ``scans``: by the value of the state before
    the step, and of the one after it."""

    def __init__(
        self,
        builder: Builder,
        graph: Graph,
        reducer: Reducer,
        part_of: Callable[[int], tuple[Part, Part] | None],
    ) -> None:
        self.b, self.graph, self.reducer, self.part_of = builder, graph, reducer, part_of
        self.scans: dict[int, tuple[MatrixScan, bool]] = {}
        self.matrices: set[int] = set()  # values that depend on a matrix state

    def add(self, scan: MatrixScan, leaf: int, result: int) -> None:
        self.scans[leaf], self.scans[result] = (scan, True), (scan, False)
        self.matrices |= {leaf, result}

    def product(self, node: Node, timed: Callable[[int], int]) -> int:
        """The `contract` node of a matrix and a vector."""
        left, right, output = parse_spec(node.attr("spec"))
        matrix, other = node.operands
        of_matrix, of_query = left, right
        if matrix not in self.matrices:
            matrix, other, of_matrix, of_query = other, matrix, right, left
        if other in self.matrices:
            raise UnreadableError("it multiplies two matrices that recur", node.span)
        names = dict(zip(of_matrix, AXES, strict=False))
        extra = [x for x in of_query if x not in names]
        if len(extra) > len(EXTRA):
            raise UnreadableError("its product with the matrix has too many axes", node.span)
        names |= dict(zip(extra, EXTRA, strict=False))
        letters, result = ("".join(names[x] for x in word) for word in (of_query, output))
        question = Question(Part(timed(other), letters), result, node.span)
        return self.ask(matrix, question)

    def ask(self, value: int, question: Question) -> int:
        """The product of a matrix with the query, [L, *output]."""
        if value in self.scans:
            return self._state(value, question)
        if value not in self.matrices:
            return self._outer(value, question)
        node = self.graph.definition(value)
        assert isinstance(node, Node)
        match node.op:
            case "add" | "sub":
                left, right = (self.ask(v, question) for v in node.operands)
                return self.b.op(node.op, left, right)
            case "neg" | "stop_grad":
                return self.b.op(node.op, self.ask(node.operands[0], question))
            case "where":
                return self._choice(node, question)
        return self._scaled(node, question)

    def _state(self, value: int, question: Question) -> int:
        scan, before = self.scans[value]
        letters, output = set(question.query.letters), set(question.output)
        first, second = (set(part.letters) for part in scan.parts)
        sides = [
            own <= letters and own.isdisjoint(output) and rest <= output
            for own, rest in ((first - second, second - first), (second - first, first - second))
        ]
        varying = set(scan.factor.letters)
        if sum(sides) != 1 or not (varying <= letters or varying <= output):
            reason = "its product with the matrix is none with one of its two sides"
            raise UnreadableError(reason, question.span)
        return scan.read(Reader(question.query, question.output, before))

    def _outer(self, value: int, question: Question) -> int:
        """A matrix that does not recur: an outer product, taken side by side."""
        parts = self.part_of(value)
        if parts is None:
            raise UnreadableError("it adds a matrix that is no outer product", question.span)
        query, output = question.query, question.output
        first, second = parts
        if not set(first.letters) - set(second.letters) <= set(query.letters):
            first, second = second, first
        kept = [x for x in first.letters if x in second.letters or x in output]
        batch = "".join(dict.fromkeys([*kept, *(x for x in query.letters if x in output)]))
        spec = f"t{query.letters},t{first.letters}->t{batch}"
        score = self.b.op("contract", query.value, first.value, spec=spec, sum_batch=False)
        spec = f"t{batch},t{second.letters}->t{output}"
        return self.b.op("contract", score, second.value, spec=spec, sum_batch=False)

    def _scaled(self, node: Node, question: Question) -> int:
        """A matrix times a value: the query or the result takes the value."""
        matrix, by = node.operands if node.operands[0] in self.matrices else node.operands[::-1]
        if by in self.matrices or (node.op == "div" and matrix != node.operands[0]):
            raise UnreadableError("it is not linear in the matrix state", node.span)
        axes = varying_axes(self.graph, by)
        letters = "".join(AXES[a] for a in axes)
        value = self.reducer.with_time(by, axes)
        query = question.query
        if set(letters) <= set(query.letters):
            scaled = times(self.b, query, letters, value, node.op)
            return self.ask(matrix, Question(scaled, question.output, question.span))
        if not set(letters) <= set(question.output):
            reason = "its factor varies along the axes of both sides of the matrix"
            raise UnreadableError(reason, node.span)
        found = Part(self.ask(matrix, question), question.output)
        return times(self.b, found, letters, value, node.op).value

    def _choice(self, node: Node, question: Question) -> int:
        condition, yes, no = node.operands
        axes = varying_axes(self.graph, condition)
        letters = "".join(AXES[a] for a in axes)
        if condition in self.matrices or not set(letters) <= set(question.output):
            raise UnreadableError("it chooses among elements of the matrix", node.span)
        pair = [None if is_zero(self.graph, v) else self.ask(v, question) for v in (yes, no)]
        like = next(v for v in pair if v is not None)
        zero = self.b.full(0.0, self.b.type_of(like).shape)
        flag = self.reducer.with_time(condition, axes)
        shape = self.b.type_of(like).shape
        places = (0, *(1 + question.output.index(x) for x in letters))
        if len(places) < len(shape):
            flag = self.b.op("broadcast", flag, shape=shape, axes=places)
        return self.b.op("where", flag, *(zero if v is None else v for v in pair))
