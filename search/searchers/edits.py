"""Typed edits of a plain cell: any cell of the language, no space needed.

Every edit replaces one expression by another of its shape, out of names that may be read where
it stands, so that nearly all products are well typed; all are checked.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from rnndsl.diagnostics import RnndslError
from rnndsl.search.candidate import Candidate, read_candidate
from rnndsl.search.fill import name_linears
from rnndsl.search.operators import call
from rnndsl.search.reading import candidate_text
from rnndsl.search.searchers.typing_of import (
    Place,
    Shape,
    TypedTree,
    is_linear,
    operands,
    read_shape,
    read_tree,
    size_of,
    with_operands,
)
from rnndsl.search.space import Space
from rnndsl.search.tree import transform, walk
from rnndsl.syntax import Argument, Assign, Binary, Call, CellDefinition, Expr, Name, Number

# An edit of the expression at a place: what stands there afterwards, and what was done.
Edit = Callable[[Place, random.Random], tuple[Expr, str] | None]

UNARY = ("tanh", "sigmoid", "relu", "sin", "softplus", "silu", "abs")
INFIX = ("+", "-", "*")

_ATTEMPTS = 40
# Operations and names in a cell.  Edits that make it larger are redrawn, unless the first cell
# is nearly as large or larger itself.
LARGEST = 120


def mutate(space: Space, text: str, draw: random.Random) -> tuple[CellDefinition, str]:
    """A cell one edit away from that of ``text``, with another graph, and what was done.

    ``space`` holds the cells that it may use.  The cell itself when every attempt failed.
    """
    tree = read_tree(text)
    before = read_candidate(text).hash
    for _ in range(_ATTEMPTS):
        edit = draw.choice(EDITS)
        fitting = [(place, edit(place, draw)) for place in tree.places]
        fitting = [(place, made) for place, made in fitting if made is not None]
        if not fitting:
            continue
        place, made = draw.choice(fitting)
        assert made is not None
        edited = name_linears(tree.with_node(place.node, made[0]))
        found = check_edit(space, edited)
        if found is not None and found.hash != before:
            return edited, f"{made[1]} in {place.target}"
    return tree.definition, "copy"


def cross(space: Space, left: str, right: str, draw: random.Random) -> tuple[CellDefinition, str]:
    """The cell of ``left`` with one expression out of that of ``right``.

    Names that ``left`` does not know are replaced by what they stand for in ``right``.
    """
    tree, donor = read_tree(left), read_tree(right)
    before = read_candidate(left).hash
    meanings = _meanings(donor)
    for _ in range(_ATTEMPTS):
        place = draw.choice(tree.places)
        fitting = [p for p in donor.places if p.shape == place.shape and not p.argument]
        if place.argument or not fitting:
            continue
        known = {name: shape for name, shape in place.scope}
        wanted = _spelled_out(draw.choice(fitting).node, known, meanings)
        if wanted is None:
            continue
        edited = name_linears(tree.with_node(place.node, _unnamed(wanted)))
        found = check_edit(space, edited)
        if found is not None and found.hash != before:
            return edited, f"crossover in {place.target}"
    return tree.definition, "copy"


def check_edit(space: Space, cell: CellDefinition) -> Candidate | None:
    """The edited cell read again; None when it does not pass the checks, or is too large."""
    if _length(cell) > max(LARGEST, 1.3 * _length(space.template)):
        return None
    try:
        return read_candidate(candidate_text(space, cell))
    except RnndslError:
        return None


def _length(cell: CellDefinition) -> int:
    return sum(size_of(part.value) for part in walk(cell) if isinstance(part, Assign))


# --------------------------------------------------------------------------------- the edits


def swap_function(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """`tanh(a)` to `sin(a)`."""
    node = place.node
    if not _is_unary(node):
        return None
    assert isinstance(node, Call) and isinstance(node.callee, Name)
    name = draw.choice([f for f in UNARY if f != node.callee.name])
    return replace(node, callee=replace(node.callee, name=name)), f"{node.callee.name} to {name}"


def swap_operator(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """`a + b` to `a * b`."""
    node = place.node
    if not isinstance(node, Binary) or node.op not in INFIX:
        return None
    op = draw.choice([other for other in INFIX if other != node.op])
    return replace(node, op=op), f"{node.op} to {op}"


def read_another(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """A name to another of its shape; `h` to `c'`."""
    node = place.node
    if not isinstance(node, Name):
        return None
    others = [name for name in place.readable() if name != node]
    if place.argument:
        others = [name for name, _ in place.scope if name not in place.beside]
    if not others:
        return None
    name = draw.choice(others)
    return name, f"{_shown(node)} to {_shown(name)}"


def wrap(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """`e` to `tanh(e)`."""
    if place.argument:
        return None
    function = draw.choice(UNARY)
    return call(function, (place.node,), place.node.span), f"insert {function}"


def combine(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """`e` to `e + c`."""
    names = place.readable()
    if place.argument or not names:
        return None
    op, name = draw.choice(INFIX), draw.choice(names)
    made = Binary(op, place.node, name, span=place.node.span)
    return made, f"insert {op} {_shown(name)}"


def gate(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """`e` to `sigmoid(linear[H](x, h)) * e`, or to a blend of it with a name by such a gate."""
    if place.argument:
        return None
    span = place.node.span
    opened = _linear(place, draw)
    names = place.readable()
    if names and draw.random() < 0.5:
        name = draw.choice(names)
        return call("gate3", (place.node, name, opened), span), f"blend with {_shown(name)}"
    gated = Binary("*", call("sigmoid", (opened,), span), place.node, span=span)
    return gated, "insert a gate"


def hoist(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """An expression to one of its own operands; what does not fit is found by the checks."""
    node = place.node
    if isinstance(node, Binary):
        parts: list[Expr] = [node.left, node.right]
    elif isinstance(node, Call) and not is_linear(node):
        parts = [argument.value for argument in operands(node)]
    else:
        return None
    parts = [part for part in parts if not isinstance(part, Number)]
    return (draw.choice(parts), "hoist an operand") if parts else None


def reread(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """`linear` of one operand more or fewer."""
    node = place.node
    if not isinstance(node, Call) or not is_linear(node):
        return None
    given = operands(node)
    present = [argument.value for argument in given]
    missing = [name for name, _ in place.scope if name not in present]
    if missing and (len(given) == 1 or draw.random() < 0.5):
        name = draw.choice(missing)
        added = Argument("", name, span=node.span)
        return with_operands(node, [*given, added]), f"linear reads {_shown(name)}"
    if len(given) == 1:
        return None
    given.pop(draw.randrange(len(given)))
    return with_operands(node, given), "linear reads less"


def regrow(place: Place, draw: random.Random) -> tuple[Expr, str] | None:
    """A small expression to `linear`, alone or under a function."""
    if place.argument or size_of(place.node) > 6:
        return None
    made: Expr = _linear(place, draw)
    if draw.random() < 0.5:
        made = call(draw.choice(UNARY), (made,), place.node.span)
    return made, "regrow"


EDITS: tuple[Edit, ...] = (
    swap_function,
    swap_operator,
    read_another,
    wrap,
    combine,
    gate,
    hoist,
    reread,
    regrow,
)


def _linear(place: Place, draw: random.Random) -> Call:
    names = [name for name, _ in place.scope]
    read = draw.sample(names, min(len(names), draw.choice((1, 2, 2, 3))))
    made = call("linear", tuple(read), place.node.span)
    return replace(made, dims=read_shape(place.shape))


def _is_unary(node: Expr) -> bool:
    return (
        isinstance(node, Call)
        and isinstance(node.callee, Name)
        and node.callee.name in UNARY
        and len(node.arguments) == 1
    )


def _shown(name: Name) -> str:
    return name.name + ("'" if name.primed else "")


# ------------------------------------------------------------------- expressions of others


def _meanings(donor: TypedTree) -> dict[Name, Expr]:
    """What each name that is assigned once at the top of the cell stands for."""
    return {s.target: s.value for s in donor.definition.body if isinstance(s, Assign)}


def _spelled_out(
    node: Expr, known: dict[Name, Shape], meanings: dict[Name, Expr], depth: int = 6
) -> Expr | None:
    """``node`` in known names only; None when that cannot be, or would be too long."""
    failed = not depth

    def change(part: object) -> Expr | None:
        nonlocal failed
        if isinstance(part, Call) and isinstance(part.callee, Name):
            values = tuple(
                a if a.name else replace(a, value=transform(a.value, change))
                for a in part.arguments
            )
            return replace(part, arguments=values)
        if not isinstance(part, Name) or part in known:
            return None
        meaning = meanings.get(part)
        spelled = (
            None if meaning is None or failed else _spelled_out(meaning, known, meanings, depth - 1)
        )
        failed = failed or spelled is None
        return spelled

    made = transform(node, change)
    return None if failed or size_of(made) > LARGEST // 3 else made


def _unnamed(node: Expr) -> Expr:
    """Without names of parameters: they would clash with those of their own cell."""

    def change(part: object) -> Expr | None:
        if not isinstance(part, Call) or not any(a.name == "name" for a in part.arguments):
            return None
        kept = tuple(
            replace(a, value=_unnamed(a.value)) for a in part.arguments if a.name != "name"
        )
        return replace(part, arguments=kept)

    return transform(node, change)
