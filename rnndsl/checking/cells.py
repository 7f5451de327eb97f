"""Sub-cells: their sizes, their inputs, and one more scope for their inside."""

from __future__ import annotations

from rnndsl import syntax
from rnndsl.checking.names import as_dim
from rnndsl.checking.scope import POISON, Instance, Poison, Ref, Result, Scope
from rnndsl.diagnostics import Related, did_you_mean
from rnndsl.errors_check import (
    AmbiguousName,
    BadNumber,
    NotStatic,
    SpaceNotFilled,
    TooLarge,
    UnknownCell,
    UnsolvedDimension,
    WrongArguments,
)
from rnndsl.source import Span
from rnndsl.types import Static

MOST_NESTED = 20


def evaluate_cell_call(scope: Scope, call: syntax.CellCall) -> Result:
    """``LSTM(D + H, hyper)(x)``: its equations with their names behind the target's."""
    from rnndsl.checking.statements import run_cell  # statements contain expressions

    cell = scope.cell.subcell(call.cell.name)
    inputs = [(a, _input_value(scope, a)) for a in call.arguments]
    if cell is None:
        close = did_you_mean(call.cell.name, scope.cell.subcell_names())
        return scope.report(UnknownCell(call.cell.span, call.cell.name, "", close))
    if cell.definition.is_space:
        return scope.report(SpaceNotFilled(call.cell.span, cell.name))
    prefix = _prefix(scope, call)
    if prefix is None or any(isinstance(value, Poison) for _, value in inputs):
        return POISON
    if scope.depth >= MOST_NESTED:
        message = f"cells are nested over {MOST_NESTED} deep"
        return scope.report(TooLarge(call.span, message))
    inner = Scope(
        scope.shared,
        cell,
        prefix,
        used_in=(*scope.used_in[:2], Related(call.span, f"in this use of `{cell.name}`")),
        depth=scope.depth + 1,
    )
    sizes = _sizes(scope, call, cell.definition)
    streams = _streams(scope, call, cell.definition, inputs)
    if sizes is None or streams is None:
        return POISON
    if not _solve(scope, call, cell.definition, sizes, streams):
        return POISON
    output = run_cell(inner, sizes, streams)
    if isinstance(output, Ref):
        scope.shared.names.setdefault(prefix.removesuffix("."), output.index)
    return Instance(cell.name, output, inner)


def _input_value(scope: Scope, argument: syntax.Argument) -> Ref | Poison:
    return scope.as_value(scope.evaluate(argument.value), argument.value.span)


def _prefix(scope: Scope, call: syntax.CellCall) -> str | None:
    target = scope.target
    if target is None or not target.name:
        scope.report(
            AmbiguousName(
                call.span,
                f"this use of `{call.cell.name}` is not assigned to a name",
                f"assign it first: `k = {call.cell.name}(...)(...)`",
            )
        )
        return None
    first = target.makers.get("cell")
    if first is not None and first != call.span and not scope.cell.definition.is_space:
        scope.report(
            AmbiguousName(
                call.span,
                "this statement uses two cells",
                "assign one of them to a name first",
                related=(Related(first, "the first one"),),
            )
        )
        return None
    target.makers["cell"] = call.span
    return f"{target.name}."


def _sizes(
    scope: Scope, call: syntax.CellCall, definition: syntax.CellDefinition
) -> dict[str, tuple[Static, Span]] | None:
    """The sizes that the call gives, by name."""
    names = [parameter.name for parameter in definition.parameters]
    signature = f"{definition.name}({', '.join(names)})"
    found: dict[str, tuple[Static, Span]] = {}
    failed = False
    for position, argument in enumerate(call.sizes):
        name = argument.name
        if not name:
            if position >= len(names):
                message = f"`{definition.name}` has no size number {position + 1}"
                scope.report(WrongArguments(argument.span, message, signature))
                return None
            name = names[position]
        if name not in names or name in found:
            twice = name in found
            message = (
                f"`{name}` is given twice"
                if twice
                else (f"`{definition.name}` has no size `{name}`")
            )
            close = did_you_mean(name, names) if not twice else ""
            scope.report(WrongArguments(argument.span, message, signature, close))
            return None
        result = scope.evaluate(argument.value)
        if isinstance(result, Poison):
            failed = True
        elif isinstance(result, (Ref, Instance)):
            scope.report(NotStatic(argument.value.span, f"`{name}`"))
            failed = True
        else:
            found[name] = (result, argument.value.span)
    return None if failed else found


def _streams(
    scope: Scope,
    call: syntax.CellCall,
    definition: syntax.CellDefinition,
    inputs: list[tuple[syntax.Argument, Ref | Poison]],
) -> dict[str, tuple[Ref, Span]] | None:
    """The value of each input, by the input's name."""
    declared = [s.name for s in definition.body if isinstance(s, syntax.Input)]
    signature = f"{definition.name}(...)({', '.join(declared)})"
    found: dict[str, tuple[Ref, Span]] = {}
    for position, (argument, value) in enumerate(inputs):
        name = argument.name or (declared[position] if position < len(declared) else "")
        if name not in declared or name in found:
            message = (
                f"`{name}` is given twice"
                if name in found
                else f"`{definition.name}` has no input number {position + 1}"
                if not name
                else f"`{definition.name}` has no input `{name}`"
            )
            close = did_you_mean(name, declared)
            scope.report(WrongArguments(argument.span, message, signature, close))
            return None
        assert isinstance(value, Ref)
        found[name] = (value, argument.value.span)
    missing = [name for name in declared if name not in found]
    if missing:
        message = f"input `{missing[0]}` of `{definition.name}` is not given"
        scope.report(WrongArguments(call.span, message, signature))
        return None
    return found


def _solve(
    scope: Scope,
    call: syntax.CellCall,
    definition: syntax.CellDefinition,
    sizes: dict[str, tuple[Static, Span]],
    streams: dict[str, tuple[Ref, Span]],
) -> bool:
    """Fill in dimensions that an input's declaration shows; False after a reported mistake."""
    for parameter in definition.parameters:
        if parameter.default is not None or parameter.name in sizes:
            continue
        for statement in definition.body:
            if not isinstance(statement, syntax.Input):
                continue
            ref, span = streams[statement.name]
            shape = scope.type_of(ref).shape
            for axis, expression in enumerate(statement.shape):
                named = isinstance(expression, syntax.Name) and expression.name == parameter.name
                if named and len(shape) == len(statement.shape):
                    sizes.setdefault(parameter.name, (shape[axis], span))
        if parameter.name not in sizes:
            message = f"nothing says what `{parameter.name}` of `{definition.name}` is"
            suggestion = f"`{definition.name}(..., {parameter.name} = ...)(...)`"
            scope.report(UnsolvedDimension(call.span, message, suggestion))
            return False
    for parameter in definition.parameters:
        if parameter.default is None:
            value, span = sizes[parameter.name]
            size = as_dim(value)
            if size is None or (not size.names and int(size) < 1):
                message = f"`{parameter.name}` must be an axis length, not {value}"
                scope.report(BadNumber(span, message))
                return False
    return True
