"""Catalogue of what can be wrong with a layer and with what it is called on (E04xx)."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class WrongRank(Diagnostic):
    code = "E0401"
    title = "{what} has {got} axes, expected {expected}"
    note = "expected {layout}"
    what: str
    expected: str
    got: int
    layout: str


@dataclass(frozen=True)
class WrongSize(Diagnostic):
    code = "E0402"
    title = "{what} has size {got} along {axis}, expected {expected}"
    note = "expected {layout}"
    what: str
    axis: str
    expected: int
    got: int
    layout: str


@dataclass(frozen=True)
class EmptyAxis(Diagnostic):
    code = "E0403"
    title = "{what} is empty: its {axis} has size 0"
    help = "a layer needs at least one time step and one example"
    what: str
    axis: str


@dataclass(frozen=True)
class WrongDtype(Diagnostic):
    code = "E0404"
    title = "{what} is {got}, but the layer computes in {expected}"
    help = "convert one of the two with .to({expected})"
    what: str
    expected: str
    got: str


@dataclass(frozen=True)
class WrongDevice(Diagnostic):
    code = "E0405"
    title = "{what} is on {got}, but the layer is on {expected}"
    what: str
    expected: str
    got: str


@dataclass(frozen=True)
class WrongStateCount(Diagnostic):
    code = "E0406"
    title = "{got} states given, expected {expected}: {names}"
    help = "a layer with one state takes the bare tensor, with several a tuple in this order"
    got: int
    expected: int
    names: str


@dataclass(frozen=True)
class MissingInput(Diagnostic):
    code = "E0407"
    title = "input `{name}` is missing"
    help = "give it by keyword: {name}=..."
    name: str


@dataclass(frozen=True)
class UnknownInput(Diagnostic):
    code = "E0408"
    title = "the cell has no input `{name}`"
    note = "its inputs are {known}"
    help = "did you mean `{suggestion}`?"
    name: str
    known: str
    suggestion: str = ""


@dataclass(frozen=True)
class BadLengths(Diagnostic):
    code = "E0409"
    title = "lengths must be {batch} whole numbers from 1 to {time}"
    note = "{found}"
    batch: int
    time: int
    found: str


@dataclass(frozen=True)
class UnknownTap(Diagnostic):
    code = "E0410"
    title = "the cell has no inner value `{name}`"
    note = "it has {known}"
    help = "did you mean `{suggestion}`?"
    name: str
    known: str
    suggestion: str = ""


@dataclass(frozen=True)
class CannotStack(Diagnostic):
    code = "E0411"
    title = "the cell cannot be stacked: {reason}"
    help = "use num_layers=1 and bidirectional=False, or combine layers by hand"
    reason: str


@dataclass(frozen=True)
class MissingSize(Diagnostic):
    code = "E0412"
    title = "dimension {name} of the cell has no size"
    help = "give {keyword}=..."
    name: str
    keyword: str


@dataclass(frozen=True)
class UnknownSize(Diagnostic):
    code = "E0413"
    title = "the cell has no dimension or number `{name}`"
    note = "it has {known}"
    help = "did you mean `{suggestion}`?"
    name: str
    known: str
    suggestion: str = ""


@dataclass(frozen=True)
class BadOption(Diagnostic):
    code = "E0414"
    title = "{name} must be {expected}, not {got}"
    name: str
    expected: str
    got: str


@dataclass(frozen=True)
class NoSecondDerivative(Diagnostic):
    code = "E0415"
    title = "a layer cannot be differentiated twice"
    note = "its backward pass is compiled from the cell and has no derivative of its own"
    help = "leave out create_graph=True, or compute this part with torch operations"


@dataclass(frozen=True)
class NonFinite(Diagnostic):
    code = "E0416"
    title = "{value} is {kind} at step {step} of {layer}"
    label = "first value that is not finite"
    value: str
    kind: str
    step: int
    layer: str


@dataclass(frozen=True)
class NotConvertible(Diagnostic):
    code = "E0417"
    title = "cannot convert {module}: {reason}"
    module: str
    reason: str


@dataclass(frozen=True)
class NoStreaming(Diagnostic):
    code = "E0418"
    title = "a bidirectional layer has no step: it must see the whole sequence"


@dataclass(frozen=True)
class UnknownBackend(Diagnostic):
    code = "E0419"
    title = "backend `{name}` is not available: {reason}"
    name: str
    reason: str


@dataclass(frozen=True)
class NoTransform(Diagnostic):
    code = "E0420"
    title = "a layer does not support {what}"
    note = "it is one compiled call, with a backward pass and nothing else"
    help = "use backward() or torch.autograd.grad, one gradient at a time"
    what: str


@dataclass(frozen=True)
class InputNameTaken(Diagnostic):
    code = "E0421"
    title = "input `{name}` of the cell has the name of an argument of the call"
    help = "rename it, or declare it first: the first input is given by position"
    name: str


@dataclass(frozen=True)
class UnequalPacking(Diagnostic):
    code = "E0422"
    title = "input `{name}` is packed with other lengths than input `{main}`"
    note = "{main}: {expected}; {name}: {got}"
    name: str
    main: str
    expected: str
    got: str


@dataclass(frozen=True)
class BudgetTooSmall(Diagnostic):
    code = "E0423"
    title = "memory_budget={budget} is too small for T={time} and B={batch}"
    note = "the backward pass holds at least {least} bytes"
    help = "use memory_budget={least} or more, or shorter or fewer sequences"
    budget: int
    time: int
    batch: int
    least: int


@dataclass(frozen=True)
class NoSuchForm(Diagnostic):
    code = "E0430"
    title = 'form="{form}" is not possible for state {states}'
    label = "{reason}"
    note = "{reason}"
    help = 'form="auto" takes the cheapest form that each recurrence has'
    form: str
    states: str
    reason: str
