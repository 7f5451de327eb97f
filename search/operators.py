"""The operators that an expression can be grown from, one record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnndsl.source import Span
from rnndsl.syntax import Argument, Binary, Call, Expr, Name

Build = Callable[[tuple[Expr, ...], Span], Expr]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator on vectors of one size: its name in ``ops = "..."``, arity and expression."""

    name: str
    arity: int
    build: Build


def call(function: str, operands: tuple[Expr, ...], span: Span) -> Call:
    """``function(operands...)``"""
    arguments = tuple(Argument("", operand, span=span) for operand in operands)
    return Call(Name(function, False, span=span), None, arguments, span=span)


def _binary(symbol: str) -> Operator:
    def build(operands: tuple[Expr, ...], span: Span) -> Expr:
        return Binary(symbol, operands[0], operands[1], span=span)

    return Operator(symbol, 2, build)


def _function(name: str, arity: int) -> Operator:
    return Operator(name, arity, lambda operands, span: call(name, operands, span))


# `linear` is no row of this table: it reads leaves, never grown expressions, so it ends a
# branch as a leaf does.  `mm` is a matrix times whatever is grown below it, plus a bias; its
# size is the hole's.  Both are listed among the names that `ops` may hold.
LINEAR = "linear"
MATRIX = "mm"

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        _function("tanh", 1),
        _function("sigmoid", 1),
        _function("relu", 1),
        _function("softplus", 1),
        _function("sin", 1),
        _function("cos", 1),
        _function("abs", 1),
        _function("neg", 1),
        _function("selu", 1),
        _binary("+"),
        _binary("-"),
        _binary("*"),
        _binary("/"),
        _function("max", 2),
        _function("gate3", 3),
    )
}

DEFAULT_OPERATORS = ("tanh", "sigmoid", "relu", "+", "*", "gate3", LINEAR)
