"""From a parsed `space` definition to its table of choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from rnndsl.diagnostics import RnndslError
from rnndsl.formatting.formatter import format_expr
from rnndsl.search.errors import HoleNameClash, RepeatedOption
from rnndsl.search.generated import read_growth
from rnndsl.search.grow import grow, reference
from rnndsl.search.knobs import Value, branches, decided, fixed_knobs, open_knobs
from rnndsl.search.space import Choice, Option
from rnndsl.search.tree import transform, walk
from rnndsl.source import Span
from rnndsl.syntax import (
    Assign,
    CellDefinition,
    Expr,
    For,
    GeneratedHole,
    Hole,
    If,
    Number,
    Param,
    State,
    Statement,
)

Part = TypeVar("Part")
AnyHole = Hole | GeneratedHole


class HoleReader:
    """Names the holes of one definition and collects their choices.

    A hole without a name takes that of the thing it defines: the first hole of `u = ...` is
    `u`, the second `u#2`; the first hole inside the second option of `u` is `u/2`.  Holes of
    one name are one choice.
    """

    def __init__(self, definition: CellDefinition) -> None:
        self.table: dict[str, Choice] = {}
        self._definition = definition
        self._written: dict[str, AnyHole] = {}
        self._scopes: Counter[str] = Counter()
        holes = (node for node in walk(definition) if isinstance(node, AnyHole))
        self._taken = {hole.name for hole in holes if hole.name}
        found: list[str] = []
        self._fixed = fixed_knobs(definition.parameters)
        self._open = {
            name: tuple(o.value for o in hole.options if isinstance(o, Number))
            for name, hole in open_knobs(definition.parameters).items()
        }
        parameters = tuple(self._holes(p, p.name, found) for p in definition.parameters)
        # What a knob's choice is called: its hole's name, else its own.
        self._choice_of = {
            p.name: p.default.name for p in parameters if isinstance(p.default, Hole)
        }
        body = tuple(self._statement(s, found) for s in decided(definition.body, self._fixed))
        self.template = replace(definition, parameters=parameters, body=body)
        self.roots = tuple(dict.fromkeys(found))
        _check_names(self.roots, self.table, self._written)

    def _statement(self, statement: Statement, into: list[str]) -> Statement:
        if isinstance(statement, For):
            return replace(
                statement,
                start=self._holes(statement.start, statement.variable, into),
                stop=self._holes(statement.stop, statement.variable, into),
                body=tuple(self._statement(s, into) for s in statement.body),
            )
        if isinstance(statement, If):
            knob = branches(statement, self._open, self._fixed)
            if knob is not None:
                return self._branches(statement, *knob)
            return replace(
                statement,
                test=self._holes(statement.test, "if", into),
                body=tuple(self._statement(s, into) for s in statement.body),
                orelse=tuple(self._statement(s, into) for s in statement.orelse),
            )
        return self._holes(statement, _scope(statement), into)

    def _branches(self, statement: If, knob: str, holds: Callable[[Value], bool]) -> Statement:
        """An `if` that an open knob decides: each of its values adds the holes of one branch."""
        values = self._open[knob]
        made: list[tuple[Statement, ...]] = []
        for taken, part in ((True, statement.body), (False, statement.orelse)):
            # In the branch the knob has only the values that lead there.
            self._open[knob] = tuple(value for value in values if holds(value) is taken)
            inner: list[str] = []
            made.append(tuple(self._statement(s, inner) for s in part))
            for value in self._open[knob]:
                self._lead_to(knob, value, inner)
        self._open[knob] = values
        return replace(statement, body=made[0], orelse=made[1])

    def _lead_to(self, knob: str, value: Value, choices: list[str]) -> None:
        choice = self.table[self._choice_of[knob]]
        options = tuple(
            replace(option, choices=tuple(dict.fromkeys((*option.choices, *choices))))
            if isinstance(option.value, Number) and option.value.value == value
            else option
            for option in choice.options
        )
        self.table[choice.name] = replace(choice, options=options)

    def _holes(self, part: Part, scope: str, into: list[str]) -> Part:
        """``part`` with references for its outermost holes, whose names are put ``into``."""

        def change(node: Any) -> Hole | None:
            return self._hole(node, scope, into) if isinstance(node, AnyHole) else None

        return transform(part, change)

    def _hole(self, hole: AnyHole, scope: str, into: list[str]) -> Hole:
        name = hole.name or self._fresh(scope)
        into.append(name)
        first = self._written.setdefault(name, hole)
        if first is hole:
            self._add(name, hole)
        elif first != hole:
            why = "a hole of this name has other options"
            raise RnndslError(HoleNameClash(hole.span, name, why))
        return reference(name, hole.span)

    def _add(self, name: str, hole: AnyHole) -> None:
        if isinstance(hole, GeneratedHole):
            for choice in grow(read_growth(self._definition, name, hole)):
                self.table[choice.name] = choice
            return
        options: list[Option] = []
        for number, value in enumerate(hole.options, start=1):
            label = format_expr(value)
            if any(label == option.label for option in options):
                raise RnndslError(RepeatedOption(value.span, label))
            options.append(self._option(label, value, f"{name}/{number}"))
        self.table[name] = Choice(name, tuple(options))

    def _option(self, label: str, value: Expr, scope: str) -> Option:
        inner: list[str] = []
        filled = self._holes(value, scope, inner)
        return Option(label, filled, tuple(dict.fromkeys(inner)))

    def _fresh(self, scope: str) -> str:
        while True:
            self._scopes[scope] += 1
            number = self._scopes[scope]
            name = scope if number == 1 else f"{scope}#{number}"
            if name not in self._taken:
                return name


def _scope(statement: Statement) -> str:
    match statement:
        case Assign(target=target):
            return target.name
        case State(name=name) | Param(name=name):
            return f"{name}.init"
        case _:
            return "return"


def _check_names(
    roots: tuple[str, ...], table: dict[str, Choice], written: dict[str, AnyHole]
) -> None:
    """One name may stand in several places if they are certain to be decided together, or
    never both: at the top level, or in different options.  Otherwise counts would be wrong.
    """
    below: dict[str, frozenset[str]] = {}

    def reach(name: str) -> frozenset[str]:
        if name not in below:
            sets = [spread(option.choices) for option in table[name].options]
            below[name] = frozenset({name}).union(*sets)
        return below[name]

    def spread(names: tuple[str, ...]) -> frozenset[str]:
        total: set[str] = set()
        for name in names:
            if name in roots:
                continue
            both = total & reach(name)
            if both:
                clash = min(both)
                raise RnndslError(HoleNameClash(_span(clash, written), clash, _CLASH))
            total |= reach(name)
        return frozenset(total)

    top: set[str] = set()
    for name in roots:
        inner = reach(name) - {name}
        if top & inner:
            clash = min(top & inner)
            raise RnndslError(HoleNameClash(_span(clash, written), clash, _CLASH))
        top |= inner


_CLASH = "it stands inside two other holes, and outside none"


def _span(name: str, written: dict[str, AnyHole]) -> Span | None:
    return written[name].span if name in written else None
