"""Parameters: declared ones, and those that `linear` and `layer_norm` make."""

from __future__ import annotations

from collections.abc import Sequence

from rnndsl import syntax
from rnndsl.checking.builtin_rules import elementwise
from rnndsl.checking.builtins import BUILTINS
from rnndsl.checking.inits import INITS
from rnndsl.checking.scope import POISON, Instance, Poison, Ref, Result, Scope
from rnndsl.diagnostics import Related, did_you_mean
from rnndsl.dims import Dim
from rnndsl.errors_check import (
    AmbiguousName,
    BadNumber,
    DefinedTwice,
    NotStatic,
    ShapeMismatch,
    UnknownInit,
    WrongArguments,
)
from rnndsl.params import DEFAULT_INIT, Init, ParamSpec
from rnndsl.source import Span
from rnndsl.typed import PARAM, TypedValue
from rnndsl.types import ValueType, any_batched

Arguments = Sequence[tuple[int, syntax.Argument]]

_LETTERS = "abcdefghklmn"  # axes in front of the last, in contractions


def make_param(
    scope: Scope,
    name: str,
    shape: tuple[Dim, ...],
    init: Init,
    span: Span,
    fan_in: Dim | None = None,
    trainable: bool = True,
) -> Ref | Poison:
    """A new parameter; reported when the name is taken."""
    shared = scope.shared
    if name in shared.params:
        if scope.cell.definition.is_space:  # options of a hole share a name; one of them stays
            spec = shared.params[name]
            return POISON if spec.shape != shape else Ref(shared.names[name])
        where = Related(shared.param_spans[name], "defined here")
        return scope.report(DefinedTwice(span, name, related=(where,)))
    hidden = scope.hidden if scope.hidden is not None else fan_in
    shared.params[name] = ParamSpec(name, shape, init, trainable, hidden)
    shared.param_spans[name] = span
    ref = scope.add(TypedValue(PARAM, (), (), ValueType(shape, False), name, span))
    shared.names[name] = ref.index
    return ref


def evaluate_init(scope: Scope, expression: syntax.Expr) -> Init | None:
    """``orthogonal``, ``uniform(-0.1, 0.1)`` or a number; None after a reported mistake."""
    name = ""
    arguments: tuple[syntax.Argument, ...] = ()
    match expression:
        case syntax.Name(primed=False) if expression.name not in scope.bindings:
            name = expression.name
        case syntax.Call(callee=syntax.Name(), dims=None):
            assert isinstance(expression.callee, syntax.Name)
            name, arguments = expression.callee.name, expression.arguments
        case _:
            value = _number(scope, expression)
            return None if value is None else Init("constant", (value,))
    record = INITS.get(name)
    if record is None:
        if name == "inf":
            return Init("constant", (float("inf"),))
        scope.report(UnknownInit(expression.span, name, did_you_mean(name, INITS)))
        return None
    numbers: list[float] = []
    for argument in arguments:
        if (
            argument.name
            and argument.name != record.arguments[min(len(numbers), len(record.arguments) - 1)][0]
        ):
            scope.report(
                WrongArguments(
                    argument.span, f"`{argument.name}` is out of place", record.signature
                )
            )
            return None
        value = _number(scope, argument.value)
        if value is None:
            return None
        numbers.append(value)
    least = sum(default is None for _, default in record.arguments)
    if not least <= len(numbers) <= len(record.arguments):
        most = len(record.arguments)
        counts = f"{most}" if least == most else f"{least} to {most}"
        message = f"`{name}` takes {counts} numbers, not {len(numbers)}"
        scope.report(WrongArguments(expression.span, message, record.signature))
        return None
    rest = [float(d) for _, d in record.arguments[len(numbers) :] if d is not None]
    return Init(name, (*numbers, *rest))


def _number(scope: Scope, expression: syntax.Expr) -> float | None:
    value = scope.evaluate(expression)
    if isinstance(value, Poison):
        return None
    if isinstance(value, (Ref, Instance, Dim)):
        scope.report(NotStatic(expression.span, "an initial value"))
        return None
    return float(value)


def _options(
    scope: Scope, function: str, arguments: Arguments
) -> dict[str, syntax.Argument] | None:
    record = BUILTINS[function]
    names = [p.name for p in record.parameters[1:]]
    found: dict[str, syntax.Argument] = {}
    for _, argument in arguments:
        if not argument.name:
            continue
        if argument.name not in names or argument.name in found:
            close = did_you_mean(argument.name, names)
            twice = argument.name in found
            message = (
                f"`{argument.name}` is given twice"
                if twice
                else (f"`{function}` has no option `{argument.name}`")
            )
            scope.report(WrongArguments(argument.span, message, record.signature, close))
            return None
        found[argument.name] = argument
    return found


def _prefix(scope: Scope, function: str, option: syntax.Argument | None, span: Span) -> str | None:
    """What the names of the parameters begin with; None after a reported mistake."""
    if option is not None:
        value = option.value
        if isinstance(value, syntax.Text) and value.value.isidentifier():
            return scope.full_name(value.value)
        if isinstance(value, syntax.Name) and not value.primed:
            return scope.full_name(value.name)
        scope.report(WrongArguments(value.span, "`name` must be a name"))
        return None
    target = scope.target
    if target is None or not target.name:
        scope.report(
            AmbiguousName(
                span,
                f"this `{function}` is not assigned to a name",
                "assign it to a name, or add `name = ...`",
            )
        )
        return None
    first = target.makers.get(function)
    if first is not None and first != span and not scope.cell.definition.is_space:
        scope.report(
            AmbiguousName(
                span,
                f"this statement has two calls of `{function}`",
                "assign one of them to a name, or add `name = ...`",
                related=(Related(first, "the first one"),),
            )
        )
        return None
    target.makers[function] = span
    return target.name


def _flag(scope: Scope, option: syntax.Argument | None, default: Init) -> Init | Poison | None:
    """``bias = false`` is None, ``bias = -2`` a constant, ``bias = normal(0, 1)`` as it says."""
    if option is None:
        return default
    if isinstance(option.value, syntax.Name):
        if option.value.name in ("false", "none"):
            return None
        if option.value.name == "true":
            return default
    value = evaluate_init(scope, option.value)
    return POISON if value is None else value


def evaluate_linear(
    scope: Scope, call: syntax.Call, arguments: Arguments, shape: tuple[Dim, ...]
) -> Result:
    """``linear[H](x, h)``: `i.x.weight @ x + i.h.weight @ h + i.bias`."""
    options = _options(scope, "linear", arguments)
    values = [(position, a) for position, a in arguments if not a.name]
    if options is None:
        return POISON
    if len(shape) != 1 or not values:
        message = (
            "`linear` takes one size in brackets, the length of its result"
            if len(shape) != 1
            else "`linear` needs a value"
        )
        signature = BUILTINS["linear"].signature
        return scope.report(WrongArguments(call.span, message, signature))
    prefix = _prefix(scope, "linear", options.get("name"), call.span)
    init: Init | None = DEFAULT_INIT
    if "init" in options:
        init = evaluate_init(scope, options["init"].value)
    bias = _flag(scope, options.get("bias"), DEFAULT_INIT)
    operands = _linear_operands(scope, values)
    if operands is None or prefix is None or init is None or isinstance(bias, Poison):
        return POISON
    return _linear(scope, call.span, prefix, operands, shape[0], init, bias)


def _linear_operands(scope: Scope, values: Arguments) -> list[tuple[str, Ref, Span]] | None:
    """Each operand with the part of the parameter's name that it gives."""
    found: list[tuple[str, Ref, Span]] = []
    failed = False
    for position, argument in values:
        value = argument.value
        ref = scope.as_value(scope.evaluate(value), value.span)
        if isinstance(ref, Poison):
            failed = True
            continue
        name = value.name if isinstance(value, syntax.Name) else f"in{position}"
        if any(name == other for other, _, _ in found):
            name = f"in{position}"
        kind = scope.type_of(ref)
        if not kind.rank:
            scope.report(
                ShapeMismatch(
                    value.span,
                    "`linear` needs vectors, not a scalar",
                    "`reshape[1](v)` makes a vector",
                )
            )
            failed = True
            continue
        found.append((name, ref, value.span))
    if failed or not found:
        return None
    front = scope.type_of(found[0][1]).shape[:-1]
    for _, ref, span in found:
        if scope.type_of(ref).shape[:-1] != front:
            message = (
                "`linear` needs operands that agree but for the last axis: the first is "
                f"{scope.type_of(found[0][1])}, this is {scope.type_of(ref)}"
            )
            scope.report(ShapeMismatch(span, message))
            return None
    return found


def _linear(
    scope: Scope,
    span: Span,
    prefix: str,
    operands: list[tuple[str, Ref, Span]],
    size: Dim,
    init: Init,
    bias: Init | None,
) -> Result:
    sizes = [scope.type_of(ref).shape[-1] for _, ref, _ in operands]
    fan_in = sum(sizes[1:], sizes[0])
    front = scope.type_of(operands[0][1]).shape[:-1]
    letters = _LETTERS[: len(front)]
    total: Ref | None = None
    for (name, ref, _), length in zip(operands, sizes, strict=True):
        weight = make_param(scope, f"{prefix}.{name}.weight", (size, length), init, span, fan_in)
        if isinstance(weight, Poison):
            return POISON
        kind = ValueType((*front, size), scope.type_of(ref).batched)
        term = scope.add(
            TypedValue(
                "einsum",
                (weight.index, ref.index),
                (("spec", f"oi,{letters}i->{letters}o"),),
                kind,
                span=span,
            )
            if front
            else TypedValue("@", (weight.index, ref.index), (), kind, span=span)
        )
        total = term if total is None else _add(scope, total, term, span)
    assert total is not None
    if bias is None:
        return total
    offset = make_param(scope, f"{prefix}.bias", (size,), bias, span, fan_in)
    if isinstance(offset, Poison):
        return POISON
    if front:
        offset = scope.add(
            TypedValue(
                "broadcast",
                (offset.index,),
                (("shape", (*front, size)), ("axis", None)),
                ValueType((*front, size), False),
                span=span,
            )
        )
    return _add(scope, total, offset, span)


def _add(scope: Scope, left: Ref, right: Ref, span: Span) -> Ref:
    kind = ValueType(
        scope.type_of(left).shape, any_batched((scope.type_of(left), scope.type_of(right)))
    )
    return scope.add(TypedValue("+", (left.index, right.index), (), kind, span=span))


def evaluate_layer_norm(scope: Scope, call: syntax.Call, arguments: Arguments) -> Result:
    """``layer_norm(v)``: standardised over the last axis, times `a.gamma`, plus `a.beta`."""
    signature = BUILTINS["layer_norm"].signature
    options = _options(scope, "layer_norm", arguments)
    values = [a for _, a in arguments if not a.name]
    if options is None:
        return POISON
    if len(values) != 1:
        return scope.report(WrongArguments(call.span, "`layer_norm` takes one value", signature))
    eps = 1e-5
    if "eps" in options:
        number = _number(scope, options["eps"].value)
        if number is None:
            return POISON
        if not number >= 0:
            return scope.report(BadNumber(options["eps"].span, "`eps` must not be negative"))
        eps = number
    scale = _flag(scope, options.get("scale"), Init("ones"))
    shift = _flag(scope, options.get("shift"), Init("zeros"))
    prefix: str | None = ""
    if scale is not None or shift is not None:
        prefix = _prefix(scope, "layer_norm", options.get("name"), call.span)
    ref = scope.as_value(scope.evaluate(values[0].value), values[0].value.span)
    if isinstance(ref, Poison) or prefix is None:
        return POISON
    if isinstance(scale, Poison) or isinstance(shift, Poison):
        return POISON
    kind = scope.type_of(ref)
    if not kind.rank:
        return scope.report(ShapeMismatch(call.span, "`layer_norm` needs a vector or more"))
    span = call.span
    result = scope.add(TypedValue("standardize", (ref.index,), (("eps", eps),), kind, span=span))
    for suffix, init, op in (("gamma", scale, "*"), ("beta", shift, "+")):
        if init is None:
            continue
        param = make_param(scope, f"{prefix}.{suffix}", kind.shape, init, span, kind.shape[-1])
        if isinstance(param, Poison):
            return POISON
        made = scope.apply(op, elementwise, [(result, span), (param, span)], {}, span)
        if isinstance(made, Poison):
            return POISON
        result = made
    return result
