"""Names, primes, inner values of sub-cells and values of loop iterations."""

from __future__ import annotations

from rnndsl import syntax
from rnndsl.checking.builtins import FUNCTIONS
from rnndsl.checking.scope import (
    POISON,
    Bound,
    Instance,
    Poison,
    Ref,
    Result,
    Scope,
    StateName,
)
from rnndsl.diagnostics import did_you_mean
from rnndsl.dims import Dim, dim
from rnndsl.errors_check import (
    BadIteration,
    NextNotAssigned,
    NoInnerValue,
    NotStatic,
    PrimeWithoutState,
    UnknownName,
)
from rnndsl.source import Span
from rnndsl.typed import TypedValue
from rnndsl.types import ValueType, known

TRUTHS = {"true": True, "false": False, "inf": float("inf")}


def evaluate_name(scope: Scope, name: syntax.Name) -> Result:
    """The value bound to a name."""
    bound = scope.bindings.get(name.name)
    if bound is None:
        if name.name in TRUTHS and not name.primed:
            return TRUTHS[name.name]
        return _unknown(scope, name)
    scope.names_read.add(name.name)
    return read(scope, bound, name.name, name.primed, name.span)


def read(scope: Scope, bound: Bound, name: str, primed: bool, span: Span) -> Result:
    """What a bound thing means where it is read, with or without a prime."""
    if isinstance(bound, StateName):
        if not primed:
            return bound.leaf
        value = scope.next.get(bound.name)
        return value if value is not None else scope.report(NextNotAssigned(span, name))
    if primed and not isinstance(bound, Poison):
        states = [key for key, b in scope.bindings.items() if isinstance(b, StateName)]
        close = did_you_mean(name, states)
        suggestion = f"did you mean `{close}'`?" if close else f"write `{name}`"
        return scope.report(PrimeWithoutState(span, name, _what(bound), suggestion))
    return bound


def _what(bound: Bound) -> str:
    if isinstance(bound, Instance):
        return "a sub-cell"
    if isinstance(bound, Dim):
        return "a dimension"
    if isinstance(bound, Ref):
        return "a value"
    return "a number"


def _unknown(scope: Scope, name: syntax.Name) -> Poison:
    if name.primed:
        states = [key for key, b in scope.bindings.items() if isinstance(b, StateName)]
        close = did_you_mean(name.name, states)
        suggestion = f"{close}'" if close else ""
        return scope.report(UnknownName(name.span, name.name, "state", suggestion))
    if name.name in FUNCTIONS:
        return scope.report(UnknownName(name.span, name.name, "value", f"{name.name}(...)"))
    close = did_you_mean(name.name, [*scope.bindings, *TRUTHS])
    return scope.report(UnknownName(name.span, name.name, "name", close))


def evaluate_attribute(scope: Scope, expression: syntax.Attribute) -> Result:
    """``k.c``: an inner value of a sub-cell."""
    base = _bound(scope, expression.base)
    if isinstance(base, Poison):
        return POISON
    if not isinstance(base, Instance):
        return scope.report(
            NoInnerValue(expression.base.span, "only a sub-cell has inner values, not this")
        )
    bound = base.scope.bindings.get(expression.name)
    if bound is None:
        close = did_you_mean(expression.name, base.scope.bindings)
        message = f"`{base.cell}` has no inner value `{expression.name}`"
        return scope.report(NoInnerValue(expression.span, message, close))
    base.scope.names_read.add(expression.name)
    if expression.primed and not isinstance(bound, (StateName, Poison)):
        what = f"`{expression.name}` of `{base.cell}` is {_what(bound)}, not a state"
        return scope.report(NoInnerValue(expression.span, what, expression.name))
    return read(base.scope, bound, expression.name, expression.primed, expression.span)


def evaluate_index(scope: Scope, expression: syntax.Index) -> Result:
    """``y[l]``: the value of an iteration, or an entry along the first axis of a value."""
    indices: list[syntax.Expr] = []
    base: syntax.Expr = expression
    while isinstance(base, syntax.Index):
        indices.append(base.index)
        base = base.base
    indices.reverse()
    numbers = []
    for index in indices:
        number = scope.evaluate(index)
        if isinstance(number, Poison):
            return POISON
        if isinstance(number, bool) or not isinstance(number, int):
            reason = "must be a whole number that is known before the cell runs"
            return scope.report(NotStatic(index.span, "an index", "", reason))
        numbers.append(number)
    owner, name, primed = _owner(scope, base)
    if owner is not None and name in owner.history:
        owner.names_read.add(name)
        bound = owner.history[name].get(tuple(numbers))
        if bound is None:
            return scope.report(BadIteration(expression.span, _iterations(owner, name, numbers)))
        return read(owner, bound, name, primed, expression.span)
    value = scope.evaluate(base)
    for number in numbers:
        ref = scope.as_value(value, base.span)
        if isinstance(ref, Poison):
            return POISON
        value = _entry(scope, ref, number, expression.span)
    return value


def _iterations(owner: Scope, name: str, numbers: list[int]) -> str:
    made = sorted(owner.history[name])
    last = made[-1]
    if len(numbers) != len(last):
        loops = "one loop, so it takes one index"
        if len(last) > 1:
            loops = f"{len(last)} loops, so it takes {len(last)} indices"
        return f"`{name}` is made by {loops}"
    shown = ", ".join(map(str, numbers))
    first_text, last_text = (", ".join(map(str, key)) for key in (made[0], last))
    return f"`{name}` has no value in iteration {shown}; so far {first_text} to {last_text}"


def _owner(scope: Scope, base: syntax.Expr) -> tuple[Scope | None, str, bool]:
    """Whose history an indexed name is in."""
    if isinstance(base, syntax.Name):
        return scope, base.name, base.primed
    if isinstance(base, syntax.Attribute):
        bound = _bound(scope, base.base)
        if isinstance(bound, Instance):
            return bound.scope, base.name, base.primed
    return None, "", False


def _bound(scope: Scope, base: syntax.Expr) -> Result:
    return scope.evaluate(base)


def _entry(scope: Scope, ref: Ref, number: int, span: Span) -> Ref | Poison:
    kind = scope.type_of(ref)
    size = known(kind.shape[0]) if kind.rank else 0
    if not kind.rank or number < 0 or (size is not None and number >= size):
        return scope.report(BadIteration(span, f"a value of shape {kind} has no entry {number}"))
    made = TypedValue(
        "entry",
        (ref.index,),
        (("index", number),),
        ValueType(kind.shape[1:], kind.batched),
        span=span,
    )
    return scope.add(made)


def as_dim(value: object) -> Dim | None:
    """A number or dimension as an axis length; None for anything else."""
    if isinstance(value, Dim):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return dim(int(value))
