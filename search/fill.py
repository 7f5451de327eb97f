"""Filling a space's holes: from decisions to a plain cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rnndsl.search.knobs import decided, fixed_knobs, without_knobs
from rnndsl.search.space import Space
from rnndsl.search.tree import transform, walk
from rnndsl.syntax import (
    Argument,
    Assign,
    Call,
    CellDefinition,
    Expr,
    For,
    Hole,
    If,
    Name,
    Statement,
)

Decide = Callable[[str, tuple[str, ...]], int]


def fill(space: Space, decide: Decide) -> CellDefinition:
    """The cell that the decisions make.

    ``decide(name, options)`` returns the index of one of the option labels; it is asked once
    for each choice that is made, parents before the choices that depend on them, in the order
    of the text.  The result is a plain cell: no holes, every `linear` with a name of its own.
    """
    made: dict[str, Expr] = {}

    def resolve(node: Any) -> Expr | None:
        if not isinstance(node, Hole):
            return None
        if node.name not in made:
            choice = space.table[node.name]
            option = choice.options[decide(node.name, choice.labels)]
            made[node.name] = transform(option.value, resolve)
        return made[node.name]

    header = transform(space.template.parameters, resolve)
    body = decided(space.template.body, fixed_knobs(header))
    filled = transform(replace(space.template, parameters=header, body=body), resolve)
    plain = without_knobs(replace(filled, is_space=False))
    return name_linears(transform(plain, _drop_identity))


def fill_derivation(space: Space, derivation: Mapping[str, int]) -> CellDefinition:
    """The cell of a derivation, which has an index for every choice that is made."""
    return fill(space, lambda name, options: derivation[name])


def _drop_identity(node: Any) -> Expr | None:
    """`?(tanh | identity)(a)`: the option that leaves `a` as it is."""
    if not (isinstance(node, Call) and node.dims is None and len(node.arguments) == 1):
        return None
    if not (isinstance(node.callee, Name) and node.callee.name == "identity"):
        return None
    return transform(node.arguments[0].value, _drop_identity)


def name_linears(cell: CellDefinition) -> CellDefinition:
    """Name the `linear`s of a statement after its target where there are several of them."""
    taken = {node.target.name for node in walk(cell) if isinstance(node, Assign)}
    taken |= {a.value.name for a in _linear_names(cell) if isinstance(a.value, Name)}

    def named(statement: Statement) -> Statement:
        if isinstance(statement, For):
            return replace(statement, body=tuple(named(s) for s in statement.body))
        if isinstance(statement, If):
            body = tuple(named(s) for s in statement.body)
            return replace(statement, body=body, orelse=tuple(named(s) for s in statement.orelse))
        linears = [node for node in walk(statement) if _is_linear(node)]
        if len(linears) < 2 and isinstance(statement, Assign):
            return statement
        base = statement.target.name if isinstance(statement, Assign) else "out"
        return transform(statement, lambda node: _give_name(node, base, taken))

    return replace(cell, body=tuple(named(s) for s in cell.body))


def _give_name(node: Any, base: str, taken: set[str]) -> Call | None:
    if not _is_linear(node) or any(a.name == "name" for a in node.arguments):
        return None
    number = 1
    while f"{base}{number}" in taken:
        number += 1
    taken.add(f"{base}{number}")
    given = Name(f"{base}{number}", False, span=node.span)
    # What `linear` reads may hold another `linear`.
    inner = tuple(transform(a, lambda part: _give_name(part, base, taken)) for a in node.arguments)
    named: Call = replace(node, arguments=(*inner, Argument("name", given, span=node.span)))
    return named


def _linear_names(cell: CellDefinition) -> Iterator[Argument]:
    for node in walk(cell):
        if _is_linear(node):
            yield from (a for a in node.arguments if a.name == "name")


def _is_linear(node: Any) -> bool:
    return isinstance(node, Call) and isinstance(node.callee, Name) and node.callee.name == "linear"
