"""Calls of functions: arguments against the signature, then the type rule."""

from __future__ import annotations

from rnndsl import syntax
from rnndsl.checking.builtins import (
    BUILTINS,
    FUNCTIONS,
    REDUCING,
    REQUIRED,
    Builtin,
    Kind,
    Parameter,
)
from rnndsl.checking.names import TRUTHS, as_dim
from rnndsl.checking.params import evaluate_layer_norm, evaluate_linear
from rnndsl.checking.scope import POISON, Instance, Poison, Ref, Result, Scope
from rnndsl.diagnostics import did_you_mean
from rnndsl.dims import Dim
from rnndsl.errors_check import (
    BadNumber,
    NotStatic,
    UnknownFunction,
    UnsolvedDimension,
    WrongArguments,
)
from rnndsl.source import Span
from rnndsl.typed import Option
from rnndsl.types import MOST_AXES, Static

Given = tuple[Result, Span]


def evaluate_call(scope: Scope, call: syntax.Call) -> Result | tuple[str, list[int | float]]:
    """A value, or for numbers alone the function's name and its numbers, to be folded."""
    record = _record(scope, call)
    if record is None:
        return POISON
    if record.shaped and call.dims is None:
        return _wrong(scope, call.span, record, f"`{record.name}` needs a shape in brackets")
    if not record.shaped and call.dims is not None:
        return _wrong(scope, call.span, record, f"`{record.name}` takes no shape in brackets")
    options: dict[str, Option] = {}
    shape = evaluate_shape(scope, call.dims or ())
    if shape is None:
        return POISON
    if record.shaped:
        options["shape"] = shape
    arguments = left_out(scope, call.arguments, record.name in ("linear", "concat"))
    if arguments is None:
        return POISON
    if record.name == "linear":
        return evaluate_linear(scope, call, arguments, shape)
    if record.name == "layer_norm":
        return evaluate_layer_norm(scope, call, arguments)
    given = _match(scope, record, call, arguments)
    if given is None:
        return POISON
    return _apply(scope, record, call, given, options)


def _record(scope: Scope, call: syntax.Call) -> Builtin | None:
    assert isinstance(call.callee, syntax.Name)
    name = call.callee.name
    record = BUILTINS.get(name)
    if record is None or record.infix or call.callee.primed:
        other_case = name.lower() in FUNCTIONS
        is_cell = name[:1].isupper() and call.dims is None and not other_case
        close = f"{name}(...)(...)" if is_cell else did_you_mean(name, FUNCTIONS)
        scope.report(UnknownFunction(call.callee.span, name, close))
        for argument in call.arguments:  # say what is wrong inside, too
            if not isinstance(argument.value, syntax.Conditional) and not argument.name:
                scope.evaluate(argument.value)
        return None
    values = [a for a in call.arguments if not a.name]
    if (
        name in REDUCING
        and len(values) == 1
        and not any(a.name in "ab" for a in call.arguments if a.name)
    ):
        return BUILTINS[REDUCING[name]]
    return record


def evaluate_shape(scope: Scope, dims: tuple[syntax.Expr, ...]) -> tuple[Dim, ...] | None:
    """The axis lengths in brackets; None after a reported mistake."""
    shape = []
    if len(dims) > MOST_AXES:
        message = f"{len(dims)} axes; a value may have {MOST_AXES}"
        scope.report(UnsolvedDimension(dims[MOST_AXES].span, message))
        return None
    for expression in dims:
        size = evaluate_dim(scope, expression)
        if size is None:
            return None
        shape.append(size)
    return tuple(shape)


def evaluate_dim(scope: Scope, expression: syntax.Expr, least: int = 1) -> Dim | None:
    """One axis length, at least ``least`` where it is a number."""
    result = scope.evaluate(expression)
    if isinstance(result, Poison):
        return None
    if isinstance(result, (Ref, Instance)):
        scope.report(NotStatic(expression.span, "an axis length"))
        return None
    size = as_dim(result)
    if size is None or (not size.names and int(size) < least):
        shown = f"{result:g}" if isinstance(result, float) else str(result)
        scope.report(UnsolvedDimension(expression.span, f"an axis cannot have length {shown}"))
        return None
    return size


def left_out(
    scope: Scope, arguments: tuple[syntax.Argument, ...], allowed: bool
) -> list[tuple[int, syntax.Argument]] | None:
    """Arguments with their positions, without those whose ``if`` has no ``else`` and fails."""
    kept = []
    position = 0
    for argument in arguments:
        value = argument.value
        here, position = position, position + (not argument.name)
        if isinstance(value, syntax.Conditional) and value.orelse is None and allowed:
            test = scope.test(value.test)
            if test is None:
                return None
            if not test:
                continue
            argument = syntax.Argument(argument.name, value.value, span=argument.span)
        kept.append((here, argument))
    return kept


def _match(
    scope: Scope,
    record: Builtin,
    call: syntax.Call,
    arguments: list[tuple[int, syntax.Argument]],
) -> dict[str, list[syntax.Argument]] | None:
    """Which arguments each parameter of the signature gets."""
    given: dict[str, list[syntax.Argument]] = {}
    names = [p.name for p in record.parameters]
    position = 0
    for _, argument in arguments:
        if argument.name:
            if argument.name not in names:
                close = did_you_mean(argument.name, names)
                message = f"`{record.name}` has no option `{argument.name}`"
                _wrong(scope, argument.span, record, message, close)
                return None
            if argument.name in given:
                _wrong(scope, argument.span, record, f"`{argument.name}` is given twice")
                return None
            given[argument.name] = [argument]
            continue
        if position >= len(names):
            several = "1 argument" if len(names) == 1 else f"{len(names)} arguments"
            _wrong(scope, argument.span, record, f"`{record.name}` takes at most {several}")
            return None
        parameter = record.parameters[position]
        if parameter.name in given and parameter.kind not in (Kind.VALUES, Kind.INTS):
            _wrong(scope, argument.span, record, f"`{parameter.name}` is given twice")
            return None
        given.setdefault(parameter.name, []).append(argument)
        if parameter.kind not in (Kind.VALUES, Kind.INTS):
            position += 1
    for parameter in record.parameters:
        if parameter.default is REQUIRED and parameter.name not in given:
            message = f"`{record.name}` needs {parameter.kind.value} for `{parameter.name}`"
            _wrong(scope, call.span, record, message)
            return None
    return given


def _apply(
    scope: Scope,
    record: Builtin,
    call: syntax.Call,
    given: dict[str, list[syntax.Argument]],
    options: dict[str, Option],
) -> Result | tuple[str, list[int | float]]:
    operands: list[Given] = []
    failed = False
    for parameter in record.parameters:
        arguments = given.get(parameter.name)
        if parameter.kind in (Kind.VALUE, Kind.VALUES):
            if arguments is None:
                operands.append((parameter.default, call.span))  # type: ignore[arg-type]
            for argument in arguments or ():
                operands.append((scope.evaluate(argument.value), argument.value.span))
        elif arguments is None:
            options[parameter.name] = parameter.default  # type: ignore[assignment]
        elif parameter.kind is Kind.INTS:
            found = [option_value(scope, parameter, a, record) for a in arguments]
            options[parameter.name] = tuple(n for n in found if isinstance(n, int))
            failed |= any(isinstance(option, Poison) for option in found)
        else:
            option = option_value(scope, parameter, arguments[0], record)
            if isinstance(option, Poison):
                failed = True
            else:
                options[parameter.name] = option
    if failed or any(isinstance(result, Poison) for result, _ in operands):
        return POISON
    numbers = [r for r, _ in operands if isinstance(r, (int, float))]
    if record.fold is not None and operands and len(numbers) == len(operands):
        return record.name, numbers
    refs = [(scope.as_value(result, span), span) for result, span in operands]
    pairs = [(ref, span) for ref, span in refs if isinstance(ref, Ref)]
    if len(pairs) < len(refs):
        return POISON
    assert record.rule is not None
    return scope.apply(record.name, record.rule, pairs, options, call.span)


def option_value(
    scope: Scope, parameter: Parameter, argument: syntax.Argument, record: Builtin
) -> Option | Poison:
    """A static argument of the kind that the parameter asks for."""
    value = argument.value
    if parameter.kind is Kind.TEXT:
        if isinstance(value, syntax.Text):
            return value.value
        message = f"`{parameter.name}` must be text in quotes"
        return _wrong(scope, value.span, record, message)
    if isinstance(value, syntax.Name) and value.name in ("true", "false", "none"):
        if parameter.kind is Kind.FLAG:
            return TRUTHS.get(value.name, False)
        if value.name == "none":
            return None
    result = scope.evaluate(value)
    if isinstance(result, Poison):
        return POISON
    if isinstance(result, (Ref, Instance)):
        return scope.report(NotStatic(value.span, f"`{parameter.name}`"))
    return _checked(scope, parameter, result, value.span)


def _checked(scope: Scope, parameter: Parameter, value: Static, span: Span) -> Option | Poison:
    if parameter.kind is Kind.DIM:
        size = as_dim(value)
        if size is not None:
            return size
    elif parameter.kind in (Kind.INT, Kind.INTS):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif not isinstance(value, Dim):
        return value
    message = f"`{parameter.name}` must be {parameter.kind.value}"
    return scope.report(BadNumber(span, message))


def _wrong(scope: Scope, span: Span, record: Builtin, message: str, suggestion: str = "") -> Poison:
    return scope.report(WrongArguments(span, message, record.signature, suggestion))
