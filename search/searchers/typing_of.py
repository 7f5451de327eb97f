"""Where the expressions of a plain cell stand: their types, and the names that they may read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import rnndsl
from rnndsl.cell import Cell
from rnndsl.checking.check import check_cell
from rnndsl.dims import Dim
from rnndsl.parsing.parser import parse_file
from rnndsl.search.tree import transform, walk
from rnndsl.source import Source, Span
from rnndsl.syntax import (
    Argument,
    Assign,
    Binary,
    Call,
    CellDefinition,
    Expr,
    For,
    If,
    Input,
    Name,
    Number,
    State,
    Statement,
    Unary,
)

Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """An expression inside an assignment: its shape, and what is known where it stands.

    ``scope`` are the vectors that may be read there, with their shapes.  ``beside`` are all
    operands of the `linear` that it is an operand of, which may have any length, if it is one.
    """

    node: Expr
    shape: Shape
    target: str
    scope: tuple[tuple[Name, Shape], ...]
    beside: tuple[Expr, ...] = ()

    @property
    def argument(self) -> bool:
        """Whether it is an operand of `linear`."""
        return bool(self.beside)

    def readable(self) -> list[Name]:
        """The names of this place's shape."""
        return [name for name, shape in self.scope if shape == self.shape]


@dataclass(frozen=True)
class TypedTree:
    """A cell read from text, so that every expression has a span of its own, and its types."""

    cell: Cell
    places: tuple[Place, ...]

    @property
    def definition(self) -> CellDefinition:
        return self.cell.definition

    def with_node(self, old: Expr, new: Expr) -> CellDefinition:
        """The definition with one expression replaced."""
        return transform(self.definition, lambda node: new if node is old else None)


def read_tree(text: str) -> TypedTree:
    """The last cell of ``text`` with the types of its expressions that vary with time.

    RnndslError when it does not pass the checks.
    """
    cell = rnndsl.parse(text)
    checked = check_cell(cell)
    if checked.cell is None:
        raise rnndsl.RnndslError(checked.errors, cell.source)
    typed = checked.cell
    shapes: dict[tuple[int, int], set[Shape]] = {}
    for value in typed.values:
        span: Span | None = value.span
        if span is not None and span.file == cell.source.name:
            # Of all values made by one expression the last is the expression's own.
            key = (span.start, span.end)
            kept = {value.type.shape} if value.type.batched else set()
            shapes[key] = kept if not value.name.count(".") else shapes.get(key, set()) | kept
    names: dict[str, Shape] = {}
    for name, index in typed.names:
        names.setdefault(name.split(".")[0], typed.values[index].type.shape)
    batched = {
        name.split(".")[0] for name, index in typed.names if typed.values[index].type.batched
    }
    reader = _Reader(shapes, {n: s for n, s in names.items() if n in batched and len(s) == 1})
    reader.block(cell.definition.body, ())
    return TypedTree(cell, tuple(reader.places))


class _Reader:
    """Collects the places of a body, statement by statement."""

    def __init__(self, shapes: dict[tuple[int, int], set[Shape]], names: dict[str, Shape]) -> None:
        self._shapes, self._names = shapes, names
        self.places: list[Place] = []

    def block(
        self, body: tuple[Statement, ...], scope: tuple[tuple[Name, Shape], ...]
    ) -> tuple[tuple[Name, Shape], ...]:
        for statement in body:
            match statement:
                case Input(name=name, span=span) | State(name=name, span=span):
                    scope = self._known(scope, Name(name, False, span=span))
                case Assign(target=target, value=value):
                    self._expression(value, target.name, scope)
                    scope = self._known(scope, target)
                case For(body=inner):
                    self.block(inner, scope)
                case If(body=inner, orelse=other):
                    self.block(inner, scope)
                    self.block(other, scope)
                case _:
                    pass
        return scope

    def _known(
        self, scope: tuple[tuple[Name, Shape], ...], name: Name
    ) -> tuple[tuple[Name, Shape], ...]:
        shape = self._names.get(name.name + ("'" if name.primed else ""))
        others = tuple(pair for pair in scope if pair[0] != name)
        return others if shape is None else (*others, (name, shape))

    def _expression(
        self,
        node: Expr,
        target: str,
        scope: tuple[tuple[Name, Shape], ...],
        beside: tuple[Expr, ...] = (),
    ) -> None:
        shape = self._shape(node, scope)
        if shape:
            self.places.append(Place(node, shape, target, scope, beside))
        match node:
            case Binary(left=left, right=right):
                self._expression(left, target, scope)
                self._expression(right, target, scope)
            case Unary(operand=operand):
                self._expression(operand, target, scope)
            case Call():
                given = tuple(argument.value for argument in operands(node))
                for inner in given:
                    self._expression(inner, target, scope, given if is_linear(node) else ())
            case _:
                pass

    def _shape(self, node: Expr, scope: tuple[tuple[Name, Shape], ...]) -> Shape | None:
        if isinstance(node, Name):
            return next((shape for name, shape in scope if name == node), None)
        if isinstance(node, Number):
            return None
        found = self._shapes.get((node.span.start, node.span.end), set())
        return next(iter(found)) if len(found) == 1 else None


def read_shape(shape: Shape) -> tuple[Expr, ...]:
    """A shape as it is written in a cell."""
    text = f"cell Shape(D, H):\n    input x: [{', '.join(map(str, shape))}]\n    return x\n"
    statement = parse_file(Source("<shape>", text)).cells[0].body[0]
    assert isinstance(statement, Input)
    return statement.shape


def is_linear(node: object) -> bool:
    """Whether ``node`` is a call of `linear`."""
    return isinstance(node, Call) and isinstance(node.callee, Name) and node.callee.name == "linear"


def size_of(node: Expr) -> int:
    """How many operations and names an expression has."""
    return sum(isinstance(part, (Call, Binary, Unary, Name)) for part in walk(node))


def operands(call: Call) -> list[Argument]:
    """The positional arguments of a call."""
    return [argument for argument in call.arguments if not argument.name]


def with_operands(call: Call, values: list[Argument]) -> Call:
    """The call with other positional arguments."""
    return replace(call, arguments=(*values, *(a for a in call.arguments if a.name)))
