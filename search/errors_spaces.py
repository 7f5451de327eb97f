"""What can be wrong with the knobs of a space, and with options that never fit (E0642-E0649)."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class BadKnob(Diagnostic):
    code = "E0642"
    title = "a knob of the space cannot be used like this"
    label = "{problem}"
    help = "{advice}"
    problem: str
    advice: str = ""


@dataclass(frozen=True)
class OptionNeverFits(Diagnostic):
    code = "E0643"
    title = "no cell with this option passes the checks"
    label = "`{option}` in the hole `{hole}`: {reason}"
    help = "leave it out, or give it the shape that the other options have"
    hole: str
    option: str
    reason: str


@dataclass(frozen=True)
class TooManyCells(Diagnostic):
    code = "E0644"
    title = "`{space}` has {count} cells, too many to list"
    label = "at most {most} are listed"
    help = "`--show N` draws some of them, `--count` counts them"
    space: str
    count: str
    most: str
