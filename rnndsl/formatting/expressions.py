"""Expressions to documents for the pretty printer, with as few parentheses as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnndsl import syntax as s
from rnndsl.formatting.pretty import Break, Doc, Group, Nest, WhenBroken

# Binding strength, loosest first; the same ladder as in grammar.lark.
CONDITIONAL, OR, AND, NOT, COMPARE, SUM, PRODUCT, UNARY, POWER, POSTFIX = range(10)

_BINARY = {
    "or": OR,
    "and": AND,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), COMPARE),
    **dict.fromkeys("+-", SUM),
    **dict.fromkeys("*/@", PRODUCT),
    "**": POWER,
}


def strength(expr: s.Expr) -> int:
    """How tightly the outermost operator of an expression binds."""
    match expr:
        case s.Conditional():
            return CONDITIONAL
        case s.Binary():
            return _BINARY[expr.op]
        case s.Unary():
            return NOT if expr.op == "not" else UNARY
        case s.Number() if expr.text.startswith("-"):
            return UNARY  # not from the parser, but a tree made by hand may hold it
    return POSTFIX


def expr_doc(expr: s.Expr, least: int = CONDITIONAL) -> Doc:
    """The document of an expression in a place that needs at least strength ``least``."""
    if strength(expr) < least:
        return Group(("(", Nest((Break(""), _plain(expr))), Break(""), ")"))
    return _plain(expr)


def statement_doc(expr: s.Expr) -> Doc:
    """An expression after `=` or `return`: one that must break gets parentheses to break in."""
    breaks_outside_brackets = isinstance(expr, s.Binary | s.Conditional) or (
        isinstance(expr, s.Unary) and expr.op == "not"
    )
    if breaks_outside_brackets:
        body = expr_doc(expr)
        return Group((WhenBroken("("), Nest((Break(""), body)), Break(""), WhenBroken(")")))
    return expr_doc(expr)


def bracketed(left: str, items: Iterable[Doc], right: str) -> Doc:
    """``(a, b)``, or one item on each line with a comma after the last."""
    parts = tuple(Group(item) for item in items)
    if not parts:
        return left + right
    rows = separated(parts)
    return Group((left, Nest((Break(""), *rows)), WhenBroken(","), Break(""), right))


def separated(parts: Sequence[Doc]) -> tuple[Doc, ...]:
    """``a, b, c`` with a break after each comma."""
    rows: list[Doc] = [parts[0]]
    for part in parts[1:]:
        rows += [",", Break(), part]
    return tuple(rows)


def argument_doc(argument: s.Argument) -> Doc:
    """``value`` or ``name = value``."""
    value = expr_doc(argument.value)
    return (f"{argument.name} = ", value) if argument.name else value


def _plain(expr: s.Expr) -> Doc:
    match expr:
        case s.Number():
            return expr.text
        case s.Text():
            return f'"{expr.value}"'
        case s.Name():
            return expr.name + "'" * expr.primed
        case s.Attribute():
            return (_base(expr.base), "." + expr.name + "'" * expr.primed)
        case s.Index():
            return (_base(expr.base), bracketed("[", [expr_doc(expr.index)], "]"))
        case s.Unary(op="not"):
            return ("not ", _operand(expr.operand, NOT))
        case s.Unary():
            return (expr.op, expr_doc(expr.operand, UNARY))
        case s.Binary():
            return _binary(expr)
        case s.Conditional():
            return _conditional(expr)
        case s.Call():
            dims = () if expr.dims is None else (bracketed("[", map(expr_doc, expr.dims), "]"),)
            return (expr_doc(expr.callee, POSTFIX), *dims, _arguments(expr.arguments))
        case s.CellCall():
            name = expr_doc(expr.cell)
            return (name, _arguments(expr.sizes), _arguments(expr.arguments))
        case s.Hole():
            return _hole(expr)
        case s.GeneratedHole():
            name = f"?{expr.name}:expr" if expr.name else "?expr"
            return (name, _arguments(expr.arguments))


def _base(expr: s.Expr) -> Doc:
    """What stands before ``.`` or ``[``; a number would take the point for its own."""
    if isinstance(expr, s.Number):
        return ("(", expr_doc(expr), ")")
    return expr_doc(expr, POSTFIX)


def _arguments(arguments: Iterable[s.Argument]) -> Doc:
    return bracketed("(", map(argument_doc, arguments), ")")


def _binary(expr: s.Binary) -> Doc:
    """A chain ``a + b - c`` breaks before each operator of equal strength, or before none."""
    level = _BINARY[expr.op]
    if level == POWER:
        return (expr_doc(expr.left, POSTFIX), " ** ", expr_doc(expr.right, UNARY))
    if level == COMPARE:
        left, right = _operand(expr.left, SUM), _operand(expr.right, SUM)
        return (left, Break(), expr.op, " ", right)
    operands: list[tuple[str, s.Expr]] = []
    first: s.Expr = expr
    while isinstance(first, s.Binary) and _BINARY[first.op] == level:
        operands.append((first.op, first.right))
        first = first.left
    tail = [(Break(), op, " ", _operand(right, level + 1)) for op, right in reversed(operands)]
    return (_operand(first, level), *tail)


def _operand(expr: s.Expr, least: int) -> Doc:
    """An operand; one that is itself a chain breaks only after the chain around it has."""
    return Group(expr_doc(expr, least))


def _conditional(expr: s.Conditional) -> Doc:
    value, test = _operand(expr.value, OR), _operand(expr.test, OR)
    if expr.orelse is None:
        return (value, Break(), "if ", test)
    orelse = _operand(expr.orelse, CONDITIONAL)
    return (value, Break(), "if ", test, Break(), "else ", orelse)


def _hole(expr: s.Hole) -> Doc:
    options = tuple(Group(expr_doc(option)) for option in expr.options)
    rows: list[Doc] = [options[0]]
    for option in options[1:]:
        rows += [Break(), "| ", option]
    return Group((f"?{expr.name}(", Nest((Break(""), *rows)), Break(""), ")"))
