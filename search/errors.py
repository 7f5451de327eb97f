"""What can be wrong with a space, a study or the way they are called (E06xx)."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class NoSpace(Diagnostic):
    code = "E0601"
    title = "{file} holds no space to search"
    help = "a space begins with `space NAME(D, H):` in place of `cell NAME(D, H):`"
    file: str


@dataclass(frozen=True)
class UnknownSpace(Diagnostic):
    code = "E0602"
    title = "{file} holds {known}: say which is meant"
    label = "`{name}` is none of them"
    help = "name one of them: `{example}`"
    file: str
    name: str
    known: str
    example: str


@dataclass(frozen=True)
class SpaceWithoutHoles(Diagnostic):
    code = "E0603"
    title = "the space `{name}` leaves nothing open"
    help = "write a choice such as `?(tanh | relu)(a)`, or call it a `cell` and train it"
    name: str


@dataclass(frozen=True)
class RepeatedOption(Diagnostic):
    code = "E0604"
    title = "two options of a hole are the same"
    label = "`{option}` stands here twice"
    help = "leave one of them out"
    option: str


@dataclass(frozen=True)
class HoleNameClash(Diagnostic):
    code = "E0605"
    title = "the hole name `{name}` is used twice"
    label = "{why}"
    help = "give one of them another name"
    name: str
    why: str


@dataclass(frozen=True)
class BadGrownExpression(Diagnostic):
    code = "E0606"
    title = "an expression cannot be grown here"
    label = "{problem}"
    help = "{advice}"
    problem: str
    advice: str = ""


@dataclass(frozen=True)
class StudyMismatch(Diagnostic):
    code = "E0607"
    title = "the study in {folder} was started with other settings"
    label = "{differences}"
    note = "scores are comparable only when everything but the budget and the sampler is the same"
    help = "give `--study` another folder, or the settings that the study was started with"
    folder: str
    differences: str


@dataclass(frozen=True)
class UnknownSampler(Diagnostic):
    code = "E0608"
    title = "there is no sampler `{name}`"
    label = "the samplers are {known}"
    help = "did you mean `{suggestion}`?"
    name: str
    known: str
    suggestion: str = ""


@dataclass(frozen=True)
class BadJournal(Diagnostic):
    code = "E0609"
    title = "{file} cannot be read as a study"
    label = "line {line} is damaged"
    help = "delete that line (one event of one trial is lost) or give `--study` another folder"
    file: str
    line: int


@dataclass(frozen=True)
class BadBudget(Diagnostic):
    code = "E0610"
    title = "`--{name} {value}` is not possible"
    label = "it must be {wanted}"
    name: str
    value: str
    wanted: str


@dataclass(frozen=True)
class NothingToTrain(Diagnostic):
    code = "E0611"
    title = "no cell of the space `{name}` can be trained"
    label = "{count} were proposed and all rejected; the last: {reason}"
    help = "`rnndsl search SPACE --show 5` prints cells drawn from the space"
    name: str
    count: int
    reason: str


@dataclass(frozen=True)
class OptunaMissing(Diagnostic):
    code = "E0612"
    title = "searching needs Optuna, which is not installed"
    help = "run `pip install rnndsl[search]`"


@dataclass(frozen=True)
class NoSuchSpace(Diagnostic):
    code = "E0613"
    title = "there is no space `{name}`"
    note = "there are {known}; or name a .rnn file"
    help = "did you mean `{suggestion}`?"
    name: str
    known: str
    suggestion: str = ""


@dataclass(frozen=True)
class BadStorage(Diagnostic):
    code = "E0614"
    title = "the storage {url} cannot be used"
    label = "{reason}"
    help = (
        "`postgresql+psycopg2://USER:PASSWORD@HOST/NAME` needs `pip install rnndsl[postgresql]`, "
        "`grpc://HOST:PORT` needs `pip install rnndsl[grpc]`"
    )
    url: str
    reason: str


@dataclass(frozen=True)
class NoStudy(Diagnostic):
    code = "E0615"
    title = "there is no study in {folder}"
    note = "near it are {near}"
    help = "a study's folder is the one that `rnndsl search` was given as `--study`"
    folder: str
    near: str = ""


@dataclass(frozen=True)
class UnknownObjective(Diagnostic):
    code = "E0616"
    title = "there is no objective `{name}`"
    label = "the objectives are {known}; several are joined by commas"
    help = "did you mean `{suggestion}`?"
    name: str
    known: str
    suggestion: str = ""


@dataclass(frozen=True)
class NoSuchTrial(Diagnostic):
    code = "E0617"
    title = "trial {number} of {study} cannot be done again"
    label = "{reason}"
    study: str
    number: int
    reason: str


@dataclass(frozen=True)
class WorkersKeepDying(Diagnostic):
    code = "E0618"
    title = "{count} worker processes in a row died before they had finished a trial"
    label = "the last one ended with {how}"
    note = "the study is saved; killed by signal 9 often means that memory was used up"
    help = "give fewer `--workers`, or run with `--workers 1` to see what happens"
    count: int
    how: str


@dataclass(frozen=True)
class UnknownPruner(Diagnostic):
    code = "E0619"
    title = "there is no pruner `{name}`"
    label = "the pruners are {known}"
    help = "did you mean `{suggestion}`?"
    name: str
    known: str
    suggestion: str = ""


@dataclass(frozen=True)
class SpaceMissing(Diagnostic):
    code = "E0620"
    title = "no space is named"
    help = "name one: `rnndsl search gated`, or a file `rnndsl search my_space.rnn`"
