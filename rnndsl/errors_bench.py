"""Mistakes of ``rnndsl bench``: E09xx."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class BadShape(Diagnostic):
    """A shape is four whole numbers: steps, batch, input size, hidden size."""

    code = "E0901"
    title = "`{text}` is not a shape"
    help = "write T,B,D,H: steps, batch, input size and hidden size, such as 35,20,200,200"
    text: str = ""


@dataclass(frozen=True)
class UnknownPeer(Diagnostic):
    """There is nothing of that name to compare with."""

    code = "E0902"
    title = "there is no peer `{name}`"
    note = "peers are {known}"
    help = "did you mean `{suggestion}`?"
    name: str = ""
    known: str = ""
    suggestion: str = ""


@dataclass(frozen=True)
class Disagreement(Diagnostic):
    """Two implementations of one cell computed different numbers."""

    code = "E0903"
    title = "`{peer}` computes something else than the cell: {what} is off by {difference}"
    note = "{allowed} is allowed; compared with the cell's ops in float64, for {case}"
    help = "nothing was timed: a wrong answer has no speed; please report this with the cell"
    peer: str = ""
    what: str = ""
    difference: str = ""
    allowed: str = ""
    case: str = ""


@dataclass(frozen=True)
class BadBenchOption(Diagnostic):
    """An option of the benchmark is out of its range."""

    code = "E0904"
    title = "{option} must be {wanted}, not {value}"
    option: str = ""
    wanted: str = ""
    value: str = ""


@dataclass(frozen=True)
class NothingToMeasure(Diagnostic):
    """Not one of the implementations that were asked for can run."""

    code = "E0905"
    title = "there is nothing to measure for {case}"
    note = "{reasons}"
    case: str = ""
    reasons: str = ""


@dataclass(frozen=True)
class BadReport(Diagnostic):
    """A file that a run should continue holds no results, or those of another setting."""

    code = "E0906"
    title = "cannot go on with {path}: {reason}"
    help = "name another file, or leave out `--resume` to write this one anew"
    path: str = ""
    reason: str = ""
