"""What the checker knows while it reads a cell: values made so far, names, and mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rnndsl import syntax
from rnndsl.diagnostics import Binding, Diagnostic, Related
from rnndsl.dims import Dim
from rnndsl.errors_check import ShapeMismatch, TooLarge
from rnndsl.params import ParamSpec
from rnndsl.source import Span
from rnndsl.typed import Option, TypedState, TypedValue
from rnndsl.types import Static, TypeRuleError, ValueType, bounded

if TYPE_CHECKING:
    from rnndsl.cell import Cell

MOST_VALUES = 100_000  # values of one cell
MOST_ITERATIONS = 4096  # of one loop
MOST_STEPS = 500_000  # expressions read, loops unrolled
MOST_ERRORS = 50  # after which checking stops
OPEN = "depends on a dimension that has no number yet"


@dataclass(frozen=True, slots=True)
class Ref:
    """A value, by its place in the list of values."""

    index: int


class Poison:
    """The result of a mistake that was reported; whatever uses it says nothing more."""


POISON = Poison()


@dataclass(frozen=True, slots=True)
class StateName:
    """What a state's name is bound to: its full name and its leaf."""

    name: str
    leaf: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """What the name of a used sub-cell is bound to: its output and its inner names."""

    cell: str
    output: Ref | Poison
    scope: Scope


Bound = Static | Ref | StateName | Instance | Poison
Result = Static | Ref | Instance | Poison


class StopChecking(Exception):
    """Checking cannot go on: a limit is reached."""


@dataclass(slots=True)
class Target:
    """The statement being read, for the names of the parameters that it makes."""

    name: str  # with its iterations; empty where there is none
    span: Span
    makers: dict[str, Span] = field(default_factory=dict)


@dataclass(slots=True)
class Shared:
    """What a cell and its sub-cells build together."""

    evaluator: Callable[[Scope, syntax.Expr], Result]
    decider: Callable[[Scope, syntax.Expr], bool | None]
    values: list[TypedValue] = field(default_factory=list)
    params: dict[str, ParamSpec] = field(default_factory=dict)
    param_spans: dict[str, Span] = field(default_factory=dict)
    states: list[TypedState] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    diagnostics: dict[Diagnostic, None] = field(default_factory=dict)
    seen: set[tuple[str, Span | None]] = field(default_factory=set)
    numbers: dict[tuple[str, Static], Ref] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)  # values that some expression reads by name
    steps: int = 0
    in_space: bool = False


@dataclass(slots=True, eq=False)
class Scope:
    """The names of one use of one cell."""

    shared: Shared
    cell: Cell
    prefix: str = ""
    bindings: dict[str, Bound] = field(default_factory=dict)
    declared: dict[tuple[str, tuple[int, ...]], Span] = field(default_factory=dict)
    declared_names: dict[str, Span] = field(default_factory=dict)
    history: dict[str, dict[tuple[int, ...], Bound]] = field(default_factory=dict)
    iteration: tuple[int, ...] = ()
    assigned: dict[tuple[str, tuple[int, ...], bool], Span] = field(default_factory=dict)
    assigned_names: dict[str, Span] = field(default_factory=dict)
    next: dict[str, Ref | Poison] = field(default_factory=dict)
    hidden: Dim | None = None
    target: Target | None = None
    used_in: tuple[Related, ...] = ()
    depth: int = 0
    returned: Ref | Poison | None = None
    names_read: set[str] = field(default_factory=set)

    # ------------------------------------------------------------------ mistakes

    def report(self, diagnostic: Diagnostic) -> Poison:
        """Note a mistake once per place; gives the poison that stands for its result."""
        key = (diagnostic.code, diagnostic.span)
        if key not in self.shared.seen:
            self.shared.seen.add(key)
            related = (*diagnostic.related, *self.used_in)
            self.shared.diagnostics[replace(diagnostic, related=related)] = None
            errors = sum(found.level == "error" for found in self.shared.diagnostics)
            if errors >= MOST_ERRORS:  # advice stops nothing
                raise StopChecking
        return POISON

    def known_dims(self) -> tuple[Binding, ...]:
        """The sizes of this cell, for messages; open dimensions stand for themselves."""
        found = []
        for parameter in self.cell.definition.parameters:
            value = self.bindings.get(parameter.name)
            if isinstance(value, (int, float, Dim)) and str(value) != parameter.name:
                origin = f"`{self.cell.name}({parameter.name} = {value})`"
                found.append(Binding(parameter.name, str(value), origin))
        return tuple(found)

    # ------------------------------------------------------------------ values

    def evaluate(self, expression: syntax.Expr) -> Result:
        """The meaning of an expression; counts against the limit of steps."""
        self.spend(expression.span)
        return self.shared.evaluator(self, expression)

    def test(self, condition: syntax.Expr) -> bool | None:
        """A condition decided now; None after a reported mistake."""
        return self.shared.decider(self, condition)

    def spend(self, span: Span) -> None:
        """Count one step; stops when there were too many."""
        self.shared.steps += 1
        if self.shared.steps > MOST_STEPS:
            self.report(TooLarge(span, f"unrolled, the cell has over {MOST_STEPS} expressions"))
            raise StopChecking

    def type_of(self, ref: Ref) -> ValueType:
        return self.shared.values[ref.index].type

    def add(self, value: TypedValue) -> Ref:
        """Append a value."""
        if len(self.shared.values) >= MOST_VALUES:
            assert value.span is not None
            self.report(TooLarge(value.span, f"unrolled, the cell has over {MOST_VALUES} values"))
            raise StopChecking
        self.shared.values.append(value)
        return Ref(len(self.shared.values) - 1)

    def number(self, value: Static, span: Span) -> Ref:
        """A static number or dimension as a shared scalar."""
        function = "size" if isinstance(value, Dim) else "number"
        stored = value if isinstance(value, Dim) else float(value)
        key = (function, repr(stored) if function == "number" else stored)
        if key not in self.shared.numbers:
            self.shared.numbers[key] = self.add(  # type: ignore[index]
                TypedValue(function, (), (("value", stored),), ValueType((), False), span=span)
            )
        return self.shared.numbers[key]  # type: ignore[index]

    def as_value(self, result: Result, span: Span) -> Ref | Poison:
        """A result as a value: numbers become scalars, a sub-cell its output."""
        if isinstance(result, Instance):
            return result.output
        if isinstance(result, (Ref, Poison)):
            return result
        return self.number(result, span)

    def apply(
        self,
        function: str,
        rule: Callable[[str, list[ValueType], Mapping[str, Option]], ValueType],
        operands: Iterable[tuple[Ref, Span]],
        options: Mapping[str, Option],
        span: Span,
    ) -> Ref | Poison:
        """A new value, its type by the rule; a mismatch is reported at the operand."""
        pairs = list(operands)
        try:
            kind = bounded(rule(function, [self.type_of(ref) for ref, _ in pairs], options))
        except TypeRuleError as error:
            return self._mismatch(function, error, pairs, span)
        indices = tuple(ref.index for ref, _ in pairs)
        return self.add(TypedValue(function, indices, tuple(options.items()), kind, span=span))

    def _mismatch(
        self,
        function: str,
        error: TypeRuleError,
        operands: list[tuple[Ref, Span]],
        span: Span,
    ) -> Poison:
        related: list[Related] = []
        for ref, _ in operands:
            value = self.shared.values[ref.index]
            if value.name and value.span is not None and len(related) < 3:
                what = "has shape" if value.function in ("input", "state", "param") else "is"
                related.append(Related(value.span, f"{value.name} {what} {value.type}"))
        place = span
        if error.operand is not None and error.operand < len(operands):
            place = operands[error.operand][1]
        return self.report(
            ShapeMismatch(
                place,
                error.message,
                error.hint or self._other_operand(function, error, operands),
                related=tuple(dict.fromkeys(related)),
                bindings=self.known_dims(),
            )
        )

    def _other_operand(
        self, function: str, error: TypeRuleError, operands: list[tuple[Ref, Span]]
    ) -> str:
        """``did you mean `r * h`?`` when one input or state alone would fit an operator."""
        if len(operands) != 2 or error.operand != 1 or function.isalpha() or function == "@":
            return ""
        left, left_span = operands[0]
        wanted = self.type_of(left).shape
        fitting = [
            name
            for name, bound in self.bindings.items()
            if (ref := _leaf_ref(bound)) is not None
            and self.shared.values[ref.index].function in ("input", "state")
            and self.type_of(ref).shape == wanted
            and ref != left
        ]
        if len(fitting) != 1 or left_span.end - left_span.start > 40:
            return ""
        text = self.cell.source.text[left_span.start : left_span.end]
        return f"did you mean `{text} {function} {fitting[0]}`?"

    # ------------------------------------------------------------------ names

    def full_name(self, name: str) -> str:
        """The name with its sub-cell and iterations: ``k.y.0``."""
        return self.prefix + ".".join([name, *map(str, self.iteration)])

    def bind(self, name: str, value: Bound) -> None:
        """Give a name its value, here and in this iteration's history."""
        self.bindings[name] = value
        if self.iteration:
            self.history.setdefault(name, {})[self.iteration] = value

    def name_value(self, ref: Ref, name: str) -> None:
        """Name a value unless it has a name; the name stands for it either way."""
        value = self.shared.values[ref.index]
        if not value.name and value.function not in ("number", "size"):
            self.shared.values[ref.index] = replace(value, name=name)
        self.shared.names[name] = ref.index


def _leaf_ref(bound: Bound) -> Ref | None:
    if isinstance(bound, StateName):
        return bound.leaf
    return bound if isinstance(bound, Ref) else None
