"""Catalogue of names and shapes (E02xx): what the checker says of a cell."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class UnknownName(Diagnostic):
    code = "E0201"
    title = "unknown name"
    label = "{what} `{name}` is not known here"
    help = "did you mean `{suggestion}`?"
    name: str
    what: str = "name"
    suggestion: str = ""


@dataclass(frozen=True)
class UnknownFunction(Diagnostic):
    code = "E0202"
    title = "unknown function"
    label = "there is no function `{name}`"
    help = "did you mean `{suggestion}`?"
    name: str
    suggestion: str = ""


@dataclass(frozen=True)
class ShapeMismatch(Diagnostic):
    code = "E0203"
    title = "shapes do not agree"
    label = "{message}"
    help = "{suggestion}"
    message: str
    suggestion: str = ""


@dataclass(frozen=True)
class StateNeverAssigned(Diagnostic):
    code = "E0204"
    title = "state never assigned"
    label = "`{name}` has no value at the next step"
    help = "assign `{name}' = ...`"
    name: str


@dataclass(frozen=True)
class DefinedTwice(Diagnostic):
    code = "E0205"
    title = "defined twice"
    label = "`{name}` is defined already"
    note = "a name gets one value; in a loop, one in each iteration"
    name: str


@dataclass(frozen=True)
class NoInput(Diagnostic):
    code = "E0206"
    title = "cell reads no input"
    label = "{message}"
    message: str


@dataclass(frozen=True)
class ReturnMissing(Diagnostic):
    code = "E0207"
    title = "return missing"
    label = "`{name}` does not say what its output is"
    help = "end the cell with `return {suggestion}`"
    name: str
    suggestion: str = ""


@dataclass(frozen=True)
class PrimeWithoutState(Diagnostic):
    code = "E0208"
    title = "prime on something that is not a state"
    label = "`{name}` is {what}, and only a state has a next value"
    help = "{suggestion}"
    name: str
    what: str
    suggestion: str = ""


@dataclass(frozen=True)
class NextNotAssigned(Diagnostic):
    code = "E0209"
    title = "next value used before it is assigned"
    label = "`{name}'` has no value yet"
    help = "assign it in an earlier line, or read `{name}`, the value of the step before"
    name: str


@dataclass(frozen=True)
class AssignedReserved(Diagnostic):
    code = "E0210"
    title = "cannot assign to this name"
    label = "`{name}` is {what}"
    help = "{suggestion}"
    name: str
    what: str
    suggestion: str = ""


@dataclass(frozen=True)
class WrongArguments(Diagnostic):
    code = "E0211"
    title = "wrong arguments"
    label = "{message}"
    note = "`{signature}`"
    help = "did you mean `{suggestion}`?"
    message: str
    signature: str = ""
    suggestion: str = ""


@dataclass(frozen=True)
class UnknownCell(Diagnostic):
    code = "E0212"
    title = "unknown cell"
    label = "there is no cell `{name}`{where}"
    help = "did you mean `{suggestion}`?"
    name: str
    where: str = ""
    suggestion: str = ""


@dataclass(frozen=True)
class NoCell(Diagnostic):
    code = "E0229"
    title = "no cell in this file"
    label = "{name} defines no cell and no space"
    help = "a cell begins with `cell NAME(D, H):`"
    name: str


@dataclass(frozen=True)
class CellRecursion(Diagnostic):
    code = "E0213"
    title = "cells contain each other"
    label = "`{name}` would contain itself: {path}"
    name: str
    path: str


@dataclass(frozen=True)
class UnsolvedDimension(Diagnostic):
    code = "E0214"
    title = "dimension cannot be solved"
    label = "{message}"
    help = "{suggestion}"
    message: str
    suggestion: str = ""


@dataclass(frozen=True)
class NotStatic(Diagnostic):
    code = "E0215"
    title = "not known before the cell runs"
    label = "{what} {reason}"
    help = "{suggestion}"
    what: str
    suggestion: str = ""
    reason: str = "must be made of numbers and dimensions alone"


@dataclass(frozen=True)
class BadNumber(Diagnostic):
    code = "E0216"
    title = "number out of place"
    label = "{message}"
    message: str


@dataclass(frozen=True)
class TooLarge(Diagnostic):
    code = "E0217"
    title = "cell too large"
    label = "{message}"
    message: str


@dataclass(frozen=True)
class HoleOutsideSpace(Diagnostic):
    code = "E0218"
    title = "hole outside a space"
    label = "only a space has choices"
    help = "write `space {name}(...)` instead of `cell {name}(...)`"
    name: str


@dataclass(frozen=True)
class AmbiguousName(Diagnostic):
    code = "E0219"
    title = "parameters without a clear name"
    label = "{message}"
    help = "{suggestion}"
    message: str
    suggestion: str = ""


@dataclass(frozen=True)
class UnknownInit(Diagnostic):
    code = "E0220"
    title = "unknown initialiser"
    label = "there is no initialiser `{name}`"
    help = "did you mean `{suggestion}`?"
    name: str
    suggestion: str = ""


@dataclass(frozen=True)
class NoInnerValue(Diagnostic):
    code = "E0221"
    title = "no such inner value"
    label = "{message}"
    help = "did you mean `{suggestion}`?"
    message: str
    suggestion: str = ""


@dataclass(frozen=True)
class BadIteration(Diagnostic):
    code = "E0222"
    title = "no such iteration"
    label = "{message}"
    message: str


@dataclass(frozen=True)
class DataDependent(Diagnostic):
    code = "E0223"
    title = "initial value depends on data"
    label = "the initial value of `{name}` may read parameters and numbers only"
    name: str


@dataclass(frozen=True)
class Misplaced(Diagnostic):
    code = "E0224"
    title = "statement out of place"
    label = "{message}"
    message: str


@dataclass(frozen=True)
class ImportProblem(Diagnostic):
    code = "E0225"
    title = "cannot import"
    label = "{message}"
    help = "{suggestion}"
    message: str
    suggestion: str = ""


@dataclass(frozen=True)
class SpaceNotFilled(Diagnostic):
    code = "E0226"
    title = "a space is not a cell yet"
    label = "`{name}` has holes that a search fills in"
    name: str


@dataclass(frozen=True)
class UnusedValue(Diagnostic):
    code = "E0250"
    level = "warning"
    title = "value never used"
    label = "`{name}` is never read"
    name: str


@dataclass(frozen=True)
class SizeDoesNotFit(Diagnostic):
    code = "E0227"
    title = "size does not fit"
    label = "{message}"
    message: str


@dataclass(frozen=True)
class ReservedParameter(Diagnostic):
    code = "E0228"
    title = "parameter name is taken"
    label = "its parameter `{name}` would be mistaken for what belongs to `{other}`"
    help = "give `{target}` another name, or pass `name = ...` to `linear`"
    name: str
    other: str
    target: str
