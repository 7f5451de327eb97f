"""Grown expressions: `?expr(x, h, depth = 3)` as a finite table of ordinary choices.

Every grown expression is a vector of one size.  It ends in leaves of that size and in
`linear` of leaves of any size, so that whatever is grown is well typed.  A choice is named
after its place: `g.1.2` is the second operand of the first operand of what fills `g`.  The
options at a place depend on nothing but the place's depth, so a choice has the same options
whatever stands above it; samplers that learn per name rely on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from rnndsl.search.operators import MATRIX, OPERATORS, call
from rnndsl.search.space import Choice, Option
from rnndsl.source import Span
from rnndsl.syntax import Expr, Hole


@dataclass(frozen=True, slots=True)
class Leaf:
    """An expression that a grown one may end in; ``direct`` if it has the size to be grown."""

    label: str
    value: Expr
    direct: bool


@dataclass(frozen=True, slots=True)
class Growth:
    """What a generated hole asks for."""

    name: str
    leaves: tuple[Leaf, ...]
    operators: tuple[str, ...]  # keys of OPERATORS
    linear: bool  # whether `linear` of leaves may be used
    matrix: bool  # whether `mm` may be used, which is `linear` of anything
    size: Expr  # the length of the vector
    depth: int  # how many operators may be nested; 0 leaves the ends alone
    span: Span


def grow(growth: Growth) -> Iterable[Choice]:
    """The choices that build the expression; the one named ``growth.name`` comes first."""
    ends = tuple(_ends(growth))
    places = [(growth.name, growth.depth)]
    while places:
        name, depth = places.pop(0)
        operators = [OPERATORS[key] for key in growth.operators] if depth else []
        options = list(ends)
        for operator in operators:
            inner = tuple(f"{name}.{k + 1}" for k in range(operator.arity))
            operands = tuple(reference(place, growth.span) for place in inner)
            options.append(Option(operator.name, operator.build(operands, growth.span), inner))
        if depth and growth.matrix:
            inner = (f"{name}.1",)
            operand = reference(inner[0], growth.span)
            options.append(Option(MATRIX, _linear(growth, (operand,)), inner))
        yield Choice(name, tuple(options), grown=True)
        width = max((operator.arity for operator in operators), default=0)
        width = max(width, int(growth.matrix and depth > 0))
        places.extend((f"{name}.{k + 1}", depth - 1) for k in range(width))


def reference(name: str, span: Span) -> Hole:
    """The mark in an option's value where the choice ``name`` goes."""
    return Hole(name, (), span=span)


def _ends(growth: Growth) -> Iterable[Option]:
    for leaf in growth.leaves:
        if leaf.direct:
            yield Option(leaf.label, leaf.value, ())
    if growth.linear:
        for count in range(1, len(growth.leaves) + 1):
            for leaves in combinations(growth.leaves, count):
                label = ", ".join(leaf.label for leaf in leaves)
                values = tuple(leaf.value for leaf in leaves)
                yield Option(f"linear({label})", _linear(growth, values), ())
    elif growth.matrix:
        for leaf in growth.leaves:
            if not leaf.direct:  # of another size: nothing else can read it
                yield Option(f"mm({leaf.label})", _linear(growth, (leaf.value,)), ())


def _linear(growth: Growth, operands: tuple[Expr, ...]) -> Expr:
    applied = call("linear", operands, growth.span)
    return type(applied)(applied.callee, (growth.size,), applied.arguments, span=applied.span)
