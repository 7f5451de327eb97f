"""Knobs of a space: numbers and texts of its header that shape it, and what depends on them.

``space S(D, H, depth = 3, ops = "tanh +", states = ?(1 | 2)):`` has two fixed knobs, which
``?expr`` may read and a search may be given other values for, and one that is itself a choice.
An ``if`` that reads a knob is decided when the cell is filled, and its statements, states
among them, stand in the cell as if the other branch had never been written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from rnndsl.checking.static import StaticError, static_binary
from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.search.errors_spaces import BadKnob
from rnndsl.search.tree import walk
from rnndsl.syntax import (
    Binary,
    CellDefinition,
    CellParameter,
    Expr,
    GeneratedHole,
    Hole,
    If,
    Name,
    Number,
    State,
    Statement,
    Text,
    Unary,
)

Value = int | float | str
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE]-?\d+)?")


def with_knobs(definition: CellDefinition, values: Mapping[str, str]) -> CellDefinition:
    """The space with other values for some of its knobs; RnndslError (E0642) for no such knob."""
    known = {p.name for p in definition.parameters if p.default is not None}
    for name in values:
        if name not in known:
            near = did_you_mean(name, known)
            advice = f"did you mean `{near}`?" if near else f"known are {', '.join(sorted(known))}"
            problem = f"`{definition.name}` has no knob `{name}`"
            raise RnndslError(BadKnob(None, problem, advice if known else "it has none at all"))
    parameters = tuple(
        replace(p, default=_literal(p, values[p.name])) if p.name in values else p
        for p in definition.parameters
    )
    return replace(definition, parameters=parameters)


def _literal(parameter: CellParameter, text: str) -> Expr:
    span = parameter.span
    if isinstance(parameter.default, Text):
        return Text(text, span=span)
    if not _NUMBER.fullmatch(text):
        problem = f"the knob `{parameter.name}` cannot be `{text}`"
        raise RnndslError(BadKnob(None, problem, "it must be a number"))
    value = int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    found = Number(value, text, span=span)
    if isinstance(parameter.default, Hole) and found not in parameter.default.options:
        problem = f"the knob `{parameter.name}` cannot be `{text}`"
        shown = ", ".join(o.text for o in parameter.default.options if isinstance(o, Number))
        raise RnndslError(BadKnob(None, problem, f"it is a choice of {shown}"))
    return found


def fixed_knobs(parameters: Iterable[CellParameter]) -> dict[str, Value]:
    """Knobs whose value is written in the header."""
    return {p.name: p.default.value for p in parameters if isinstance(p.default, (Number, Text))}


def open_knobs(parameters: Iterable[CellParameter]) -> dict[str, Hole]:
    """Knobs that are choices of numbers."""
    return {
        p.name: p.default
        for p in parameters
        if isinstance(p.default, Hole)
        and p.default.options
        and all(isinstance(option, Number) for option in p.default.options)
    }


def names_read(part: Any) -> set[str]:
    """The names that an expression or statement reads or writes."""
    return {node.name for node in walk(part) if isinstance(node, Name)}


def shapes_the_cell(statement: If) -> bool:
    """Whether an `if` holds what a cell's own `if` cannot leave open: holes and states."""
    return any(isinstance(node, Hole | GeneratedHole | State) for node in walk(statement))


def decide(test: Expr, values: Mapping[str, Value]) -> bool | None:
    """The value of a test; None where it reads anything but these knobs."""
    if not names_read(test) <= values.keys():
        return None
    try:
        return bool(_value(test, values))
    except (StaticError, TypeError):
        return None


def _value(expr: Expr, values: Mapping[str, Value]) -> Any:
    match expr:
        case Number(value=value):
            return value
        case Name(name=name):
            return values[name]
        case Unary(op="not", operand=operand):
            return not _value(operand, values)
        case Unary(op="-", operand=operand):
            return -_value(operand, values)
        case Binary(op=op, left=left, right=right):
            return static_binary(op, _value(left, values), _value(right, values))
    raise StaticError("it is no arithmetic of knobs")


def decided(body: tuple[Statement, ...], values: Mapping[str, Value]) -> tuple[Statement, ...]:
    """The statements with every `if` that shapes the cell replaced by the branch taken."""
    found: list[Statement] = []
    for statement in body:
        taken = None
        if isinstance(statement, If) and shapes_the_cell(statement):
            taken = decide(statement.test, values)
        if taken is None or not isinstance(statement, If):
            found.append(statement)
        else:
            found += decided(statement.body if taken else statement.orelse, values)
    return tuple(found)


def without_knobs(cell: CellDefinition) -> CellDefinition:
    """The filled cell without those numbers of its header that nothing in it reads."""
    read = {
        name
        for part in (*cell.body, *(p.default for p in cell.parameters))
        for name in names_read(part)
    }
    kept = tuple(p for p in cell.parameters if p.default is None or p.name in read)
    return replace(cell, parameters=kept)


def branches(
    statement: If, knobs: Mapping[str, tuple[Value, ...]], fixed: Mapping[str, Value]
) -> tuple[str, Callable[[Value], bool]] | None:
    """The one open knob that decides a shaping `if`, and for which of its values it holds.

    None when no open knob does; RnndslError (E0642) when there are several, or other names.
    """
    read = names_read(statement.test)
    own = read & knobs.keys()
    if not own or not shapes_the_cell(statement):
        return None
    if len(own) > 1 or read - own - fixed.keys():
        problem = "this `if` holds choices or states and reads more than one choice"
        advice = "let it read one knob of the header, and put another `if` into its branch"
        raise RnndslError(BadKnob(statement.test.span, problem, advice))
    (knob,) = own

    def holds(value: Value) -> bool:
        return bool(decide(statement.test, {**fixed, knob: value}))

    return knob, holds
