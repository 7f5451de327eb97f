"""What can be wrong with the choice of a searcher (E063x; E0608 for its name)."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class BadSamplerOption(Diagnostic):
    code = "E0630"
    title = "the sampler `{searcher}` cannot be set up with `{option}`"
    label = "{problem}"
    help = "did you mean `{suggestion}`?"
    searcher: str
    option: str
    problem: str
    suggestion: str = ""


@dataclass(frozen=True)
class NothingToEdit(Diagnostic):
    code = "E0631"
    title = "`{sampler}` needs a space with holes"
    label = "`{name}` is a plain cell, which leaves nothing open"
    help = "edit it with `--sampler evolution`, or write `?(a | b)` where it may vary"
    sampler: str
    name: str


@dataclass(frozen=True)
class ScipyMissing(Diagnostic):
    code = "E0632"
    title = "the sampler `{sampler}` needs SciPy, which is not installed"
    help = "run `pip install rnndsl[search]`, or choose another sampler"
    sampler: str
