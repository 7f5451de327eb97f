"""Reading `?expr(x, h, depth = 3, ops = "tanh + gate3", size = H)`."""

from __future__ import annotations

from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.formatting.formatter import format_expr
from rnndsl.search.errors import BadGrownExpression
from rnndsl.search.grow import Growth, Leaf
from rnndsl.search.operators import DEFAULT_OPERATORS, LINEAR, MATRIX, OPERATORS
from rnndsl.search.tree import walk
from rnndsl.source import Span
from rnndsl.syntax import (
    CellDefinition,
    Expr,
    GeneratedHole,
    Hole,
    Input,
    Name,
    Number,
    Param,
    State,
    Text,
)

DEFAULT_DEPTH = 2
DEEPEST = 6  # 3^6 places already; each of them is one parameter of the sampler
MOST_LEAVES = 6  # `linear` may read any subset of them


def read_growth(definition: CellDefinition, name: str, hole: GeneratedHole) -> Growth:
    """What a generated hole asks for; RnndslError (E0606) for anything that it cannot be."""
    knobs = {p.name: p.default for p in definition.parameters if p.default is not None}
    options = {
        a.name: knobs.get(a.value.name, a.value)
        if isinstance(a.value, Name) and a.name in ("depth", "ops")
        else a.value
        for a in hole.arguments
        if a.name
    }
    for argument in hole.arguments:
        if argument.name and argument.name not in ("depth", "ops", "size"):
            near = did_you_mean(argument.name, ("depth", "ops", "size"))
            advice = f"did you mean `{near}`?" if near else "known are depth, ops and size"
            raise _error(argument.span, f"there is no option `{argument.name}`", advice)
    operators = _operators(options.get("ops"))
    size = _size(definition, hole, options.get("size"))
    leaves = [a.value for a in hole.arguments if not a.name]
    if not 1 <= len(leaves) <= MOST_LEAVES:
        raise _error(hole.span, f"it needs 1 to {MOST_LEAVES} leaves, as in `?expr(x, h)`")
    growth = Growth(
        name=name,
        leaves=tuple(_leaf(definition, leaf, size) for leaf in leaves),
        operators=tuple(o for o in operators if o in OPERATORS),
        linear=LINEAR in operators,
        matrix=MATRIX in operators,
        size=size,
        depth=_depth(options.get("depth")),
        span=hole.span,
    )
    if not growth.linear and not growth.matrix and not any(leaf.direct for leaf in growth.leaves):
        wanted = format_expr(size)
        problem = f"no leaf has shape [{wanted}], and `ops` leaves out `linear`"
        raise _error(hole.span, problem, f"add `linear` to `ops`, or a leaf of shape [{wanted}]")
    return growth


def _depth(value: Expr | None) -> int:
    if value is None:
        return DEFAULT_DEPTH
    if isinstance(value, Number) and isinstance(value.value, int) and 0 <= value.value <= DEEPEST:
        return value.value
    raise _error(value.span, f"`depth` must be a whole number from 0 to {DEEPEST}")


def _operators(value: Expr | None) -> tuple[str, ...]:
    if value is None:
        return DEFAULT_OPERATORS
    if not isinstance(value, Text) or not value.value.split():
        raise _error(value.span, "`ops` must be a list in quotes", 'such as `ops = "tanh + gate3"`')
    known = (*OPERATORS, LINEAR, MATRIX)
    names = tuple(dict.fromkeys(value.value.split()))
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            advice = f"did you mean `{near}`?" if near else f"known are {' '.join(known)}"
            raise _error(value.span, f"there is no operator `{name}`", advice)
    return names


def _size(definition: CellDefinition, hole: GeneratedHole, value: Expr | None) -> Expr:
    if value is not None:
        return value
    if any(p.name == "H" and p.default is None for p in definition.parameters):
        return Name("H", False, span=hole.span)
    raise _error(
        hole.span, "its length is not known: the space has no dimension H", "write `size = N`"
    )


def _leaf(definition: CellDefinition, leaf: Expr, size: Expr) -> Leaf:
    if any(isinstance(node, Hole | GeneratedHole) for node in walk(leaf)):
        raise _error(leaf.span, "a leaf cannot hold a hole", "define it on a line of its own")
    shape = _declared_shape(definition, leaf)
    # A leaf that is no declared name has been computed; such values are nearly always of the
    # size asked for, and a cell in which one is not fails the check and is never trained.
    direct = shape is None or shape == (size,)
    return Leaf(format_expr(leaf), leaf, direct)


def _declared_shape(definition: CellDefinition, leaf: Expr) -> tuple[Expr, ...] | None:
    if not isinstance(leaf, Name) or leaf.primed:
        return None
    for statement in definition.body:
        if isinstance(statement, Input | State | Param) and statement.name == leaf.name:
            return statement.shape
    return None


def _error(span: Span, problem: str, advice: str = "") -> RnndslError:
    return RnndslError(BadGrownExpression(span, problem, advice))
