"""The syntax tree: what the parser builds, the formatter prints and the checker reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from rnndsl.source import Span

# --------------------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Number:
    """``2``, ``0.5``, ``1e-3``, ``inf``; ``text`` keeps how it was written."""

    value: int | float
    text: str
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Name:
    """``h``, or ``h'`` for the value at the next step."""

    name: str
    primed: bool
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Attribute:
    """``k.c``, ``k.c'``: an inner value of the sub-cell bound to ``k``."""

    base: Expr
    name: str
    primed: bool
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Index:
    """``y[l]``: the value that ``y`` was given in iteration ``l`` of its loop."""

    base: Expr
    index: Expr
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``-a`` or ``not a``."""

    op: str
    operand: Expr
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """``+ - * / @ ** < <= > >= == != and or``."""

    op: str
    left: Expr
    right: Expr
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Conditional:
    """``a if test else b``; without ``else`` an argument that is left out unless ``test``.

    The test is static: it reads loop variables and the cell's own numbers, never values.
    """

    value: Expr
    test: Expr
    orelse: Expr | None
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call; ``name`` is empty for a positional one."""

    name: str
    value: Expr
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """``tanh(a)``, ``linear[H](x, h, bias = -2)``, ``concat(a, b)``.

    ``callee`` is a Name for a function or an initialiser, a Hole for a choice of functions.
    """

    callee: Expr
    dims: tuple[Expr, ...] | None  # what stands in brackets: the result's shape
    arguments: tuple[Argument, ...]
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class CellCall:
    """``LSTM(D + H, hyper)(concat(x, h))``: a sub-cell, sized and then applied."""

    cell: Name
    sizes: tuple[Argument, ...]
    arguments: tuple[Argument, ...]
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Text:
    """``"ij,j->i"``."""

    value: str
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Hole:
    """``?(a | b)`` or ``?name(a | b)``: a choice that a search makes; only in a space."""

    name: str  # empty when unnamed
    options: tuple[Expr, ...]
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class GeneratedHole:
    """``?expr(x, h, depth = 3)``: an expression that a search grows from these leaves."""

    name: str  # empty when unnamed
    arguments: tuple[Argument, ...]
    span: Span = field(compare=False, kw_only=True, repr=False)


Expr = (
    Number
    | Name
    | Attribute
    | Index
    | Unary
    | Binary
    | Conditional
    | Call
    | CellCall
    | Text
    | Hole
    | GeneratedHole
)

# ---------------------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Input:
    """``input x: [D]``"""

    name: str
    shape: tuple[Expr, ...]
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """``state h: [H]`` or ``state m: [H] = -inf``; ``init`` reads parameters and numbers."""

    name: str
    shape: tuple[Expr, ...]
    init: Expr | None
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Param:
    """``param W: [H, D] = orthogonal(1) frozen``; ``init`` is an initialiser."""

    name: str
    shape: tuple[Expr, ...]
    init: Expr | None
    frozen: bool
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Assign:
    """``i = sigmoid(...)``, ``h' = ...``."""

    target: Name
    value: Expr
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class For:
    """``for l in 0..depth:``: unrolled; ``stop`` is exclusive."""

    variable: str
    start: Expr
    stop: Expr
    body: tuple[Statement, ...]
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class If:
    """``if test:`` … ``else:`` with a static test."""

    test: Expr
    body: tuple[Statement, ...]
    orelse: tuple[Statement, ...]
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Return:
    """``return h'``: the output of the cell."""

    value: Expr
    span: Span = field(compare=False, kw_only=True, repr=False)


Statement = Input | State | Param | Assign | For | If | Return

# --------------------------------------------------------------------------------- files


@dataclass(frozen=True, slots=True)
class CellParameter:
    """``D``, or ``depth = 5``: a dimension or number of the cell, with its default."""

    name: str
    default: Expr | None
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class CellDefinition:
    """``cell NAME(D, H): …``; ``is_space`` for ``space NAME(D, H): …``."""

    name: str
    parameters: tuple[CellParameter, ...]
    body: tuple[Statement, ...]
    is_space: bool
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Import:
    """``from "gates.rnn" import A, B``; the path is relative to the importing file."""

    path: str
    names: tuple[str, ...]
    span: Span = field(compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class File:
    """One source file: an optional ``rnndsl 1`` line, imports, then cells and spaces.

    ``comments`` are (offset, text, own_line) triples in order; with ``text``, the source as it
    was written, they take part in formatting only.
    """

    version: int | None
    imports: tuple[Import, ...]
    cells: tuple[CellDefinition, ...]
    comments: tuple[tuple[int, str, bool], ...] = field(default=(), compare=False)
    text: str = field(default="", compare=False, repr=False)
    span: Span = field(compare=False, kw_only=True, repr=False)
