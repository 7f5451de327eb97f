"""The checker: a cell of the syntax tree to a typed cell, or the list of its mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnndsl import syntax
from rnndsl.checking.expr import evaluate_expression, static_test
from rnndsl.checking.names import as_dim
from rnndsl.checking.scope import Poison, Ref, Scope, Shared, StopChecking
from rnndsl.checking.statements import run_cell
from rnndsl.diagnostics import Diagnostic, RnndslError, did_you_mean
from rnndsl.errors_check import (
    BadNumber,
    NoInput,
    ReservedParameter,
    SpaceNotFilled,
    TooLarge,
    UnknownName,
)
from rnndsl.source import Span
from rnndsl.typed import INPUT, TypedCell
from rnndsl.types import Static

if TYPE_CHECKING:
    from rnndsl.cell import Cell


@dataclass(frozen=True, slots=True)
class Checked:
    """What checking found: the typed cell unless there are errors, and all diagnostics."""

    cell: TypedCell | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if not is_warning(d))


def is_warning(diagnostic: Diagnostic) -> bool:
    """Whether a diagnostic is advice that stops nothing."""
    return diagnostic.level == "warning"


def merge(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """One diagnostic for each mistake: a sub-cell's is found again wherever it is used."""
    first: dict[tuple[str, Span | None], Diagnostic] = {}
    for diagnostic in diagnostics:
        first.setdefault((diagnostic.code, diagnostic.span), diagnostic)
    return tuple(first.values())


def check_cell(cell: Cell, numbers: Mapping[str, int | float] | None = None) -> Checked:
    """Type every value of a cell, with its loops unrolled and sub-cells put in place.

    ``numbers`` replace the defaults of the cell's numbers and may fix dimensions.  A space is
    checked with each option of each number that is left open, the others at their first
    ones.  Never raises for a mistake in the cell; time and memory are bounded.
    """
    given = numbers or {}
    if not cell.definition.is_space:
        return _check_once(cell, given)
    found = [_check_once(cell, {**given, **options}) for options in _options(cell)]
    errors = tuple(dict.fromkeys(error for one in found for error in one.errors))
    # Advice has to hold whatever is chosen.
    advice = tuple(d for d in found[0].diagnostics if all(d in one.diagnostics for one in found))
    return Checked(None, errors or advice)


def _options(cell: Cell) -> list[dict[str, int | float]]:
    """Values for the numbers of a space's header that are choices."""
    choices = {
        parameter.name: [o.value for o in parameter.default.options if isinstance(o, syntax.Number)]
        for parameter in cell.definition.parameters
        if isinstance(parameter.default, syntax.Hole)
    }
    choices = {name: values for name, values in choices.items() if values}
    first = {name: values[0] for name, values in choices.items()}
    others = [{**first, name: v} for name, values in choices.items() for v in values[1:]]
    return [first, *others]


def _check_once(cell: Cell, numbers: Mapping[str, int | float]) -> Checked:
    shared = Shared(evaluate_expression, static_test)
    scope = Scope(shared, cell)
    output: Ref | Poison | None = None
    try:
        sizes = _given_numbers(scope, numbers)
        output = run_cell(scope, sizes, None)
        _reads_input(scope, output)
        _parameter_names(scope)
    except StopChecking:
        output = None
    except RecursionError:
        span = cell.definition.span
        shared.diagnostics[TooLarge(span, "expressions or cells are nested too deeply")] = None
    found = tuple(shared.diagnostics)
    errors = tuple(d for d in found if not is_warning(d))
    if cell.definition.is_space or errors:
        return Checked(None, errors or found)  # advice can wait until the mistakes are gone
    assert isinstance(output, Ref), "a cell without mistakes has an output"
    return Checked(_typed(scope, output), found)


def typed_cell(cell: Cell, numbers: Mapping[str, int | float] | None = None) -> TypedCell:
    """The typed cell; RnndslError with all mistakes when there are any."""
    checked = check_cell(cell, numbers)
    if checked.cell is not None:
        return checked.cell
    errors = checked.errors
    if not errors:
        span = _name_span(cell.definition)
        errors = (SpaceNotFilled(span, cell.name),)
    raise RnndslError(errors, cell.sources())


def _typed(scope: Scope, output: Ref) -> TypedCell:
    shared = scope.shared
    values = tuple(shared.values)
    used = {name for v in values for d in v.type.shape for name in d.names}
    names = [p.name for p in scope.cell.definition.parameters if p.default is None]
    inputs = tuple(i for i, v in enumerate(values) if v.function == INPUT)
    return TypedCell(
        scope.cell.name,
        tuple(n for n in names if n in used),
        values,
        inputs,
        tuple(shared.states),
        tuple(shared.params.values()),
        output.index,
        tuple(shared.names.items()),
    )


def _name_span(definition: syntax.CellDefinition) -> Span:
    start = definition.span.start
    return Span(definition.span.file, start, start + len("cell ") + len(definition.name))


def _given_numbers(
    scope: Scope, numbers: Mapping[str, int | float]
) -> dict[str, tuple[Static, Span]]:
    definition = scope.cell.definition
    span = _name_span(definition)
    known = {p.name: p for p in definition.parameters}
    found: dict[str, tuple[Static, Span]] = {}
    for name, value in numbers.items():
        if name not in known:
            close = did_you_mean(name, known)
            scope.report(UnknownName(span, name, "number", close))
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            scope.report(BadNumber(span, f"`{name}` must be a number, not {value!r}"))
        elif known[name].default is None and (as_dim(value) is None or value < 1):
            scope.report(BadNumber(span, f"`{name}` must be a positive whole number, not {value}"))
        else:
            found[name] = (value, known[name].span)
    return found


# The compiler names gradients, initial states and streams of states after them.
_RESERVED = frozenset({"d", "init", "next", "prev"})


def _parameter_names(scope: Scope) -> None:
    """An error for a parameter whose name the compiler gives to something else."""
    shared = scope.shared
    taken = {state.name for state in shared.states}
    taken |= {v.name for v in shared.values if v.function == INPUT}
    for name in shared.params:
        target, _, other = name.partition(".")
        if target in _RESERVED and other in taken:
            span = shared.values[shared.names[name]].span if name in shared.names else None
            scope.report(ReservedParameter(span, name, other, target))


def _reads_input(scope: Scope, output: Ref | Poison) -> None:
    """An error unless some input reaches the output or a state."""
    shared = scope.shared
    if any(not is_warning(d) for d in shared.diagnostics) or not isinstance(output, Ref):
        return
    span = _name_span(scope.cell.definition)
    inputs = [i for i, v in enumerate(shared.values) if v.function == INPUT]
    if not inputs:
        message = f"`{scope.cell.name}` has no input"
        scope.report(NoInput(span, message))
        return
    reached: set[int] = set()
    waiting = [output.index, *(s.next for s in shared.states)]
    while waiting:
        value = waiting.pop()
        if value not in reached:
            reached.add(value)
            waiting += shared.values[value].operands
    if not reached.intersection(inputs):
        name = shared.values[inputs[0]].name
        message = f"`{name}` reaches neither the output nor a state"
        scope.report(NoInput(shared.values[inputs[0]].span or span, message))
