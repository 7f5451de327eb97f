"""Mistakes in asking to see a cell: E08xx."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class UnknownStage(Diagnostic):
    """There is no such stage of compilation."""

    code = "E0801"
    title = "there is no stage `{stage}`"
    note = "stages are {known}"
    help = "did you mean `{suggestion}`?"
    stage: str = ""
    known: str = ""
    suggestion: str = ""


@dataclass(frozen=True)
class SpaceHasNoStage(Diagnostic):
    """A space is not one cell, so it has no types, graph or plan yet."""

    code = "E0802"
    title = "`{cell}` is a space: only its syntax can be shown"
    help = "`rnndsl search` fills its holes; show one of the cells that it finds"
    cell: str = ""


@dataclass(frozen=True)
class ToolNotInstalled(Diagnostic):
    """The stage is made by a package that is not there."""

    code = "E0803"
    title = "the stage `{stage}` needs {package}, which is not installed"
    help = "{command}"
    stage: str = ""
    package: str = ""
    command: str = ""


@dataclass(frozen=True)
class UnknownPass(Diagnostic):
    """There is no such pass, or it is not among those that run."""

    code = "E0804"
    title = "{problem}"
    help = "`rnndsl list passes` and `rnndsl list pipelines` show what there is"
    problem: str = ""


@dataclass(frozen=True)
class FixedByRun(Diagnostic):
    """A trained model is compiled as it was trained: in its sizes, with its weights and passes."""

    code = "E0805"
    title = "`{option}` is for a cell, not for the folder of a run"
    help = "leave it out, or give the cell itself in place of the folder"
    option: str = ""
