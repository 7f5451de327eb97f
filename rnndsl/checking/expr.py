"""Meaning and type of expressions."""

from __future__ import annotations

from rnndsl import syntax
from rnndsl.checking.builtin_rules import elementwise, matmul
from rnndsl.checking.builtins import BUILTINS
from rnndsl.checking.calls import evaluate_call
from rnndsl.checking.cells import evaluate_cell_call
from rnndsl.checking.names import evaluate_attribute, evaluate_index, evaluate_name
from rnndsl.checking.scope import OPEN, POISON, Instance, Poison, Ref, Result, Scope
from rnndsl.checking.static import NotDecidable, StaticError, fold, static_binary, static_unary
from rnndsl.dims import Dim
from rnndsl.errors_check import BadNumber, HoleOutsideSpace, NotStatic, WrongArguments
from rnndsl.source import Span
from rnndsl.types import Static


def evaluate_expression(scope: Scope, expression: syntax.Expr) -> Result:
    """A number, a value, a sub-cell, or poison after a reported mistake."""
    match expression:
        case syntax.Number(value=value):
            return value
        case syntax.Name():
            return evaluate_name(scope, expression)
        case syntax.Attribute():
            return evaluate_attribute(scope, expression)
        case syntax.Index():
            return evaluate_index(scope, expression)
        case syntax.Unary():
            return _unary(scope, expression)
        case syntax.Binary():
            return _binary(scope, expression)
        case syntax.Conditional():
            return _conditional(scope, expression)
        case syntax.Call():
            return _call(scope, expression)
        case syntax.CellCall():
            return evaluate_cell_call(scope, expression)
        case syntax.Text():
            return scope.report(WrongArguments(expression.span, "text is not a value"))
        case syntax.Hole():
            return _hole(scope, expression)
        case syntax.GeneratedHole():
            return _generated(scope, expression)


def _unary(scope: Scope, expression: syntax.Unary) -> Result:
    operand = scope.evaluate(expression.operand)
    if isinstance(operand, (Ref, Instance)):
        if expression.op == "not":
            return scope.report(NotStatic(expression.span, "`not`", "`1 - v` turns 0 and 1 round"))
        ref = scope.as_value(operand, expression.span)
        if isinstance(ref, Poison):
            return POISON
        pairs = [(ref, expression.operand.span)]
        return scope.apply("neg", elementwise, pairs, {}, expression.span)
    if isinstance(operand, Poison):
        return POISON
    try:
        return static_unary(expression.op, operand)
    except NotDecidable:
        return scope.report(NotStatic(expression.span, "the operand of `not`"))


def _binary(scope: Scope, expression: syntax.Binary) -> Result:
    # Long sums are deep on the left; walk down that side without recursion.
    chain = [expression]
    while isinstance(chain[-1].left, syntax.Binary):
        chain.append(chain[-1].left)
        scope.spend(expression.span)
    result = scope.evaluate(chain[-1].left)
    left_span = chain[-1].left.span
    for link in reversed(chain):
        right = scope.evaluate(link.right)
        result = combine(scope, link.op, (result, left_span), (right, link.right.span), link.span)
        left_span = link.span
    return result


def combine(
    scope: Scope, op: str, left: tuple[Result, Span], right: tuple[Result, Span], span: Span
) -> Result:
    """``left op right``: a number if both are, else a value."""
    a, b = left[0], right[0]
    if isinstance(a, Poison) or isinstance(b, Poison):
        return POISON
    if not isinstance(a, (Ref, Instance)) and not isinstance(b, (Ref, Instance)) and op != "@":
        try:
            return static_binary(op, a, b)
        except StaticError as error:
            return scope.report(BadNumber(span, str(error)))
        except NotDecidable:
            pass
    if op in ("and", "or"):
        suggestion = "`a * b` for and, `max(a, b)` for or"
        return scope.report(NotStatic(span, f"the operands of `{op}`", suggestion))
    operands = [(scope.as_value(result, place), place) for result, place in (left, right)]
    refs = [(ref, place) for ref, place in operands if isinstance(ref, Ref)]
    if len(refs) < 2:
        return POISON
    rule = matmul if op == "@" else elementwise
    return scope.apply(op, rule, refs, {}, span)


def _conditional(scope: Scope, expression: syntax.Conditional) -> Result:
    test = static_test(scope, expression.test)
    if test is None:
        return POISON
    if test:
        return scope.evaluate(expression.value)
    if expression.orelse is None:
        return scope.report(
            WrongArguments(
                expression.span,
                "without `else`, `a if test` can only be an argument of `linear` or `concat`",
            )
        )
    return scope.evaluate(expression.orelse)


def static_test(scope: Scope, test: syntax.Expr) -> bool | None:
    """A condition decided now; None after a reported mistake."""
    result = scope.evaluate(test)
    if isinstance(result, Poison):
        return None
    if isinstance(result, Dim) or _of_sizes(scope, result):
        suggestion = "give the cell a number to decide by, such as `depth = 2`"
        scope.report(NotStatic(test.span, "the condition", suggestion, OPEN))
        return None
    if isinstance(result, (Ref, Instance)):
        suggestion = "`where(test, a, b)` chooses by values"
        scope.report(NotStatic(test.span, "a condition", suggestion))
        return None
    return bool(result)


def _of_sizes(scope: Scope, result: Result) -> bool:
    """Whether a value is made of axis lengths alone."""
    if not isinstance(result, Ref):
        return False
    waiting = [result.index]
    while waiting:
        value = scope.shared.values[waiting.pop()]
        if not value.operands and value.function not in ("number", "size"):
            return False
        if len(waiting) > 20:
            return False
        waiting += value.operands
    return True


def static_number(scope: Scope, expression: syntax.Expr, what: str) -> Static | None:
    """A number or dimension known now; None after a reported mistake."""
    result = scope.evaluate(expression)
    if isinstance(result, Poison):
        return None
    if isinstance(result, (Ref, Instance)):
        scope.report(NotStatic(expression.span, what))
        return None
    return result


def _call(scope: Scope, call: syntax.Call) -> Result:
    if isinstance(call.callee, syntax.Hole):
        return _hole_call(scope, call, call.callee)
    result = evaluate_call(scope, call)
    if isinstance(result, tuple):
        record, numbers = result
        builtin = BUILTINS[record]
        assert builtin.fold is not None
        try:
            return fold(builtin.fold, numbers)
        except StaticError as error:
            return scope.report(BadNumber(call.span, str(error)))
    return result


def _hole(scope: Scope, hole: syntax.Hole) -> Result:
    """In a space: the type that all options share, else nothing more is said."""
    if not _in_space(scope, hole.span):
        return POISON
    results = [scope.evaluate(option) for option in hole.options]
    refs = [scope.as_value(result, hole.span) for result in results]
    kinds = {scope.type_of(ref) if isinstance(ref, Ref) else None for ref in refs}
    return refs[0] if len(kinds) == 1 else POISON


def _hole_call(scope: Scope, call: syntax.Call, hole: syntax.Hole) -> Result:
    if not _in_space(scope, hole.span):
        return POISON
    results: list[Result] = [POISON]
    for option in hole.options:
        if not isinstance(option, syntax.Name):
            scope.report(WrongArguments(option.span, "an option before `(` must be a function"))
            continue
        results.append(_chosen(scope, call, option))
    return results[-1]


def _chosen(scope: Scope, call: syntax.Call, option: syntax.Name) -> Result:
    """``?(tanh | identity)(v)`` with one of its functions; `identity` leaves `v` as it is."""
    if option.name == "identity" and call.dims is None:
        if len(call.arguments) == 1 and not call.arguments[0].name:
            return scope.evaluate(call.arguments[0].value)
        return scope.report(
            WrongArguments(option.span, "`identity` takes one value", "identity(v)")
        )
    return scope.evaluate(syntax.Call(option, call.dims, call.arguments, span=call.span))


def _generated(scope: Scope, hole: syntax.GeneratedHole) -> Result:
    """The leaves are checked here; the options (`depth`, `ops`) belong to the search."""
    if _in_space(scope, hole.span):
        for argument in hole.arguments:
            if not argument.name:
                scope.evaluate(argument.value)
    return POISON


def _in_space(scope: Scope, span: Span) -> bool:
    if not scope.cell.definition.is_space:
        scope.report(HoleOutsideSpace(span, scope.cell.name))
        return False
    return True
