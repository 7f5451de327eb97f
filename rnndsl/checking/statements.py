"""Statements: declarations, assignments, loops and tests, and a whole cell."""

from __future__ import annotations

from rnndsl import syntax
from rnndsl.checking.calls import evaluate_shape
from rnndsl.checking.expr import static_number, static_test
from rnndsl.checking.params import evaluate_init, make_param
from rnndsl.checking.scope import (
    MOST_ITERATIONS,
    OPEN,
    POISON,
    Bound,
    Instance,
    Poison,
    Ref,
    Scope,
    StateName,
    Target,
)
from rnndsl.diagnostics import Related, did_you_mean
from rnndsl.dims import Dim, dim
from rnndsl.errors_check import (
    AssignedReserved,
    DataDependent,
    DefinedTwice,
    Misplaced,
    NotStatic,
    PrimeWithoutState,
    ReturnMissing,
    ShapeMismatch,
    StateNeverAssigned,
    TooLarge,
    UnknownName,
    UnusedValue,
)
from rnndsl.params import DEFAULT_INIT
from rnndsl.source import Span
from rnndsl.typed import INPUT, STATE, TypedState, TypedValue
from rnndsl.types import Static, ValueType, shape_text

Sizes = dict[str, tuple[Static, Span]]
Streams = dict[str, tuple[Ref, Span]]


def run_cell(scope: Scope, sizes: Sizes, streams: Streams | None) -> Ref | Poison:
    """Read a cell's body in a fresh scope.

    ``sizes`` are the given dimensions and numbers; missing dimensions stay open.
    ``streams`` are a sub-cell's inputs; None for the outermost cell, which gets leaves.
    """
    definition = scope.cell.definition
    _bind_sizes(scope, definition, sizes)
    first_state = len(scope.shared.states)
    # States of sub-cells come after the cell's own.
    scope.shared.states, before = [], scope.shared.states
    pending: list[tuple[syntax.State, StateName, Ref | None]] = []
    _block(scope, definition.body, streams, pending)
    inner, scope.shared.states = scope.shared.states, before
    for statement, state, init in pending:
        value = scope.next.get(state.name)
        if value is None:
            scope.report(StateNeverAssigned(statement.span, statement.name))
        elif isinstance(value, Ref):
            scope.shared.states.append(
                TypedState(state.name, state.leaf.index, value.index, init.index if init else None)
            )
    scope.shared.states += inner
    assert len(scope.shared.states) >= first_state
    _unused(scope)
    if scope.returned is None:
        suggestion = next(
            (f"{s.name}'" for s in definition.body if isinstance(s, syntax.State)), ""
        )
        return scope.report(ReturnMissing(_header(definition), definition.name, suggestion))
    return scope.returned


def _header(definition: syntax.CellDefinition) -> Span:
    """The first line of a cell, roughly: up to its body."""
    end = definition.body[0].span.start if definition.body else definition.span.end
    ends = [definition.span.start + len("cell ") + len(definition.name)]
    ends += [p.span.end for p in definition.parameters]
    return Span(definition.span.file, definition.span.start, min(max(ends), end))


def _bind_sizes(scope: Scope, definition: syntax.CellDefinition, sizes: Sizes) -> None:
    for parameter in definition.parameters:
        _claim(scope, parameter.name, parameter.span)
        given = sizes.get(parameter.name)
        value: Bound
        if given is not None:
            value = given[0]
        elif parameter.default is None:
            value = dim(parameter.name)
        elif definition.is_space and isinstance(parameter.default, syntax.Text):
            value = POISON  # for the search to read
        else:
            default = static_number(scope, parameter.default, f"`{parameter.name}`")
            value = POISON if default is None else default
        scope.bindings[parameter.name] = value
        if parameter.name == "H" and isinstance(value, (int, Dim)):
            scope.hidden = dim(value)


def _claim(scope: Scope, name: str, span: Span) -> bool:
    """Reserve a declared name; reported when it is taken."""
    key = (name, scope.iteration)
    other = scope.declared.get(key) or scope.assigned_names.get(name)
    if other is not None:
        scope.report(DefinedTwice(span, name, related=(Related(other, "defined here"),)))
        return False
    scope.declared[key] = span
    scope.declared_names.setdefault(name, span)
    return True


def _block(
    scope: Scope,
    body: tuple[syntax.Statement, ...],
    streams: Streams | None,
    pending: list[tuple[syntax.State, StateName, Ref | None]],
) -> None:
    for statement in body:
        scope.spend(statement.span)
        if scope.returned is not None:
            scope.report(Misplaced(statement.span, "nothing may follow `return`"))
            return
        scope.target = None
        match statement:
            case syntax.Input():
                _input(scope, statement, streams)
            case syntax.State():
                _state(scope, statement, pending)
            case syntax.Param():
                _param(scope, statement)
            case syntax.Assign():
                _assign(scope, statement)
            case syntax.For():
                _for(scope, statement, streams, pending)
            case syntax.If():
                test = static_test(scope, statement.test)
                if test is not None:
                    chosen = statement.body if test else statement.orelse
                    _block(scope, chosen, streams, pending)
                else:
                    _poison_names(scope, (*statement.body, *statement.orelse))
            case syntax.Return():
                _return(scope, statement)


def _input(scope: Scope, statement: syntax.Input, streams: Streams | None) -> None:
    if scope.iteration:
        scope.report(Misplaced(statement.span, "an input cannot stand in a loop"))
        return
    shape = evaluate_shape(scope, statement.shape)
    if not _claim(scope, statement.name, statement.span):
        return
    if shape is None:
        scope.bindings[statement.name] = POISON
        return
    if streams is None:
        kind = ValueType(shape, batched=True)
        leaf = TypedValue(INPUT, (), (), kind, statement.name, statement.span)
        scope.bindings[statement.name] = ref = scope.add(leaf)
        scope.shared.names[statement.name] = ref.index
        return
    ref, span = streams[statement.name]
    found = scope.type_of(ref).shape
    if found != shape:
        message = (
            f"input `{statement.name}` of `{scope.cell.name}` has shape {shape_text(shape)}, "
            f"and this is {shape_text(found)}"
        )
        where = Related(statement.span, "declared here")
        scope.report(ShapeMismatch(span, message, related=(where,), bindings=scope.known_dims()))
        scope.bindings[statement.name] = POISON
        return
    scope.bindings[statement.name] = ref


def _state(
    scope: Scope,
    statement: syntax.State,
    pending: list[tuple[syntax.State, StateName, Ref | None]],
) -> None:
    shape = evaluate_shape(scope, statement.shape)
    init: Ref | None = None
    name = scope.full_name(statement.name)
    if statement.init is not None and shape is not None:
        result = scope.as_value(scope.evaluate(statement.init), statement.init.span)
        if isinstance(result, Ref):
            kind = scope.type_of(result)
            if kind.batched:
                scope.report(DataDependent(statement.init.span, statement.name))
            elif kind.rank and kind.shape != shape:
                message = f"`{statement.name}` has shape {shape_text(shape)}, and this is {kind}"
                scope.report(ShapeMismatch(statement.init.span, message))
            else:
                init = result
    if not _claim(scope, statement.name, statement.span):
        return
    if shape is None:
        scope.bind(statement.name, POISON)
        return
    leaf = scope.add(TypedValue(STATE, (), (), ValueType(shape, True), name, statement.span))
    scope.shared.names[name] = leaf.index
    state = StateName(name, leaf)
    scope.bind(statement.name, state)
    pending.append((statement, state, init))


def _param(scope: Scope, statement: syntax.Param) -> None:
    shape = evaluate_shape(scope, statement.shape)
    init = evaluate_init(scope, statement.init) if statement.init is not None else DEFAULT_INIT
    if not _claim(scope, statement.name, statement.span):
        return
    made: Ref | Poison = POISON
    if shape is not None and init is not None:
        name = scope.full_name(statement.name)
        trainable = not statement.frozen
        made = make_param(scope, name, shape, init, statement.span, trainable=trainable)
    scope.bind(statement.name, made)


def _assign(scope: Scope, statement: syntax.Assign) -> None:
    target = statement.target
    scope.target = Target(scope.full_name(target.name), statement.span)
    value = scope.evaluate(statement.value)
    if isinstance(value, bool):
        value = int(value)
    if target.primed:
        _assign_next(scope, statement, value)
        return
    key = (target.name, scope.iteration, False)
    other = scope.assigned.get(key)
    bound = scope.bindings.get(target.name)
    if isinstance(bound, StateName):
        scope.next.setdefault(bound.name, POISON)
        scope.report(
            AssignedReserved(
                target.span,
                target.name,
                "a state, and its old value cannot change",
                f"assign the next value: `{target.name}' = ...`",
            )
        )
        return
    other = other or scope.declared_names.get(target.name)
    if other is not None:
        scope.report(
            DefinedTwice(target.span, target.name, related=(Related(other, "defined here"),))
        )
        return
    scope.assigned[key] = target.span
    scope.assigned_names.setdefault(target.name, target.span)
    scope.bind(target.name, value)
    if isinstance(value, Ref):
        scope.name_value(value, scope.full_name(target.name))


def _assign_next(scope: Scope, statement: syntax.Assign, value: Bound) -> None:
    target = statement.target
    bound = scope.bindings.get(target.name)
    if bound is None:
        states = [key for key, b in scope.bindings.items() if isinstance(b, StateName)]
        close = did_you_mean(target.name, states)
        suggestion = f"{close}'" if close else ""
        scope.report(UnknownName(target.span, target.name, "state", suggestion))
        return
    if isinstance(bound, Poison):
        return
    if not isinstance(bound, StateName):
        suggestion = f"declare it: `state {target.name}: [...]`"
        what = "an input" if isinstance(bound, Ref) else "a name"
        scope.report(PrimeWithoutState(target.span, target.name, what, suggestion))
        return
    key = (bound.name, (), True)
    if key in scope.assigned:
        where = Related(scope.assigned[key], "assigned here")
        scope.report(DefinedTwice(target.span, f"{target.name}'", related=(where,)))
        return
    scope.assigned[key] = target.span
    scope.next[bound.name] = _next_value(scope, statement, bound, value)


def _next_value(
    scope: Scope, statement: syntax.Assign, state: StateName, value: Bound
) -> Ref | Poison:
    span = statement.value.span
    if isinstance(value, (Poison, StateName)):
        return POISON
    ref = scope.as_value(value, span)
    if isinstance(ref, Poison):
        return POISON
    kind, expected = scope.type_of(ref), scope.type_of(state.leaf)
    if kind.shape != expected.shape and not isinstance(value, (Ref, Instance)):
        ref = scope.add(
            TypedValue(
                "broadcast",
                (ref.index,),
                (("shape", expected.shape), ("axis", None)),
                ValueType(expected.shape, False),
                span=span,
            )
        )
    elif kind.shape != expected.shape:
        declared = scope.shared.values[state.leaf.index].span
        assert declared is not None
        where = Related(declared, f"{statement.target.name} has shape {expected}, declared here")
        message = f"the state has shape {expected}, its next value has shape {kind}"
        scope.report(ShapeMismatch(span, message, related=(where,), bindings=scope.known_dims()))
        return POISON
    scope.name_value(ref, f"{state.name}'")
    return ref


def _for(
    scope: Scope,
    statement: syntax.For,
    streams: Streams | None,
    pending: list[tuple[syntax.State, StateName, Ref | None]],
) -> None:
    bounds = []
    for expression in (statement.start, statement.stop):
        bound = static_number(scope, expression, "the bound of a loop")
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int)):
            reason = OPEN if isinstance(bound, Dim) else "must be a whole number"
            scope.report(NotStatic(expression.span, "the bound of a loop", "", reason))
            bound = None
        bounds.append(bound)
    start, stop = bounds
    if not isinstance(start, int) or not isinstance(stop, int):
        _poison_names(scope, statement.body)
        return
    if stop - start > MOST_ITERATIONS:
        message = f"{stop - start} iterations; a loop may have {MOST_ITERATIONS}"
        scope.report(TooLarge(statement.stop.span, message))
        _poison_names(scope, statement.body)
        return
    if statement.variable in scope.bindings and statement.variable not in scope.history:
        scope.report(DefinedTwice(statement.span, statement.variable))
        return
    outer = scope.iteration
    for number in range(start, stop):
        scope.iteration = (*outer, number)
        scope.bindings[statement.variable] = number
        scope.names_read.add(statement.variable)
        _block(scope, statement.body, streams, pending)
    scope.iteration = outer
    scope.bindings.pop(statement.variable, None)


def _return(scope: Scope, statement: syntax.Return) -> None:
    if scope.iteration:
        scope.report(Misplaced(statement.span, "`return` cannot stand in a loop"))
        return
    scope.target = Target("", statement.span)
    value = scope.evaluate(statement.value)
    scope.returned = scope.as_value(value, statement.value.span)


def _poison_names(scope: Scope, body: tuple[syntax.Statement, ...]) -> None:
    """Names that a skipped block would define: what uses them says nothing more."""
    for statement in body:
        match statement:
            case syntax.Assign(target=target) if not target.primed:
                scope.bindings.setdefault(target.name, POISON)
            case syntax.Assign(target=target):
                bound = scope.bindings.get(target.name)
                if isinstance(bound, StateName):
                    scope.next.setdefault(bound.name, POISON)
            case syntax.State(name=name) | syntax.Param(name=name):
                scope.bindings.setdefault(name, POISON)
            case syntax.For(body=inner):
                _poison_names(scope, inner)
            case syntax.If(body=inner, orelse=other):
                _poison_names(scope, (*inner, *other))
            case _:
                pass


def _unused(scope: Scope) -> None:
    """Warn of assigned names that nothing reads; sub-cells' users may leave some alone."""
    if scope.depth:
        return
    for (name, _, primed), span in scope.assigned.items():
        if not primed and name not in scope.names_read:
            scope.report(UnusedValue(span, name))
