"""Mistakes that training meets (E07xx): data, settings, checkpoints, divergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rnndsl.diagnostics import Diagnostic, RnndslError
from rnndsl.source import Source


@dataclass(frozen=True)
class TrainingMistake(Diagnostic):
    """A mistake outside any source file: it has no span."""

    code: ClassVar[str] = ""

    span: None = None


# ------------------------------------------------------------------------------------ data


@dataclass(frozen=True, kw_only=True)
class DataNotFound(TrainingMistake):
    """``--data`` names nothing."""

    code = "E0701"
    title = "there is no file or folder `{path}` to train on"
    help = "give a text file, or a folder with train.txt, valid.txt and test.txt"
    path: str


@dataclass(frozen=True, kw_only=True)
class DataEmpty(TrainingMistake):
    """A text without characters."""

    code = "E0702"
    title = "`{path}` is empty"
    note = "a file of white space alone counts as empty"
    path: str


@dataclass(frozen=True, kw_only=True)
class DataNotText(TrainingMistake):
    """A binary file."""

    code = "E0703"
    title = "`{path}` is not a text file"
    note = "it holds bytes that no text has"
    path: str


@dataclass(frozen=True, kw_only=True)
class DataNotUtf8(TrainingMistake):
    """A text in another encoding."""

    code = "E0704"
    title = "`{path}` is not UTF-8: byte {byte} at offset {offset} (line {line}, byte {column})"
    help = "convert it, for instance with `iconv -f LATIN1 -t UTF-8`"
    path: str
    byte: str
    offset: int
    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class DataTooShort(TrainingMistake):
    """Not one whole batch fits into the text."""

    code = "E0705"
    title = "the {split} text of `{name}` is too short: {tokens} tokens, and {needed} are needed"
    note = "one batch reads {batch} streams of {bptt} tokens, each with the token after it"
    help = "{suggestion}"
    name: str
    split: str
    tokens: int
    needed: int
    batch: int
    bptt: int
    suggestion: str


@dataclass(frozen=True, kw_only=True)
class SplitMissing(TrainingMistake):
    """A folder without train, valid or test text."""

    code = "E0706"
    title = "the folder `{folder}` has no {split} text"
    note = "it should hold {split}.txt or {split}; it holds {found}"
    help = "a single text file is split into train, valid and test by itself"
    folder: str
    split: str
    found: str


@dataclass(frozen=True, kw_only=True)
class DataUnreadable(TrainingMistake):
    """The system refuses to read the file."""

    code = "E0717"
    title = "`{path}` cannot be read: {reason}"
    path: str
    reason: str


# -------------------------------------------------------------------------------- settings


@dataclass(frozen=True, kw_only=True)
class BadSetting(TrainingMistake):
    """A setting out of its range."""

    code = "E0707"
    title = "`{name}` cannot be {value}"
    note = "it has to be {wanted}"
    name: str
    value: str
    wanted: str


@dataclass(frozen=True, kw_only=True)
class BudgetTooSmall(TrainingMistake):
    """Even a width of 1 has too many parameters."""

    code = "E0715"
    title = "no width of `{cell}` has as few as {budget} parameters"
    note = "with a hidden size of {width} the model has {smallest}"
    help = "raise the budget, or make the embedding smaller"
    cell: str
    budget: int
    width: int
    smallest: int


@dataclass(frozen=True, kw_only=True)
class CellUnfit(TrainingMistake):
    """A cell with several inputs, or whose streams are no vectors."""

    code = "E0718"
    title = "`{cell}` cannot be a language model: {reason}"
    note = "a language model gives a cell one input, the vector of a token, and reads a vector"
    cell: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class OutOfMemory(TrainingMistake):
    """The model or its activations do not fit."""

    code = "E0719"
    title = "there is not enough memory on {device}"
    note = "{reason}"
    help = "make `--hidden`, `--batch` or `--bptt` smaller"
    device: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class UnknownTask(TrainingMistake):
    """A task that there is not."""

    code = "E0721"
    title = "there is no task `{name}`"
    note = "the tasks are char, word, {known}"
    help = "did you mean `{suggestion}`?"
    name: str
    known: str
    suggestion: str = ""


# ------------------------------------------------------------------------------ divergence


@dataclass(frozen=True, kw_only=True)
class TrainingDiverged(TrainingMistake):
    """A number of the run is no longer finite."""

    code = "E0708"
    title = "training diverged at step {step}: the {what} is {value}"
    note = "{place}"
    help = "try a learning rate below {lr}, or clip the gradients at a smaller norm with `--clip`"
    what: str
    value: str
    step: int
    place: str
    lr: str


class TrainingDivergedError(RnndslError):
    """A run that diverged; ``step`` is the step, counted from 1, at which it did."""

    def __init__(
        self,
        mistake: TrainingDiverged,
        origin: Diagnostic | None = None,
        sources: tuple[Source, ...] = (),
    ) -> None:
        super().__init__([mistake] if origin is None else [mistake, origin], sources)
        self.step = mistake.step


@dataclass(frozen=True, kw_only=True)
class GenerationDiverged(TrainingMistake):
    """The model's scores for the next token are no longer numbers."""

    code = "E0720"
    title = "after {count} tokens the model's numbers are no longer finite"
    help = "train it until its loss is finite, or begin with another text"
    count: int


# ----------------------------------------------------------------------------- checkpoints


@dataclass(frozen=True, kw_only=True)
class CheckpointNotFound(TrainingMistake):
    """``--resume`` or ``generate`` finds nothing."""

    code = "E0709"
    title = "there is no checkpoint `{path}`"
    help = "name the folder of a run, or a file such as best.pt in it"
    path: str


@dataclass(frozen=True, kw_only=True)
class CheckpointDamaged(TrainingMistake):
    """A truncated, changed or foreign file."""

    code = "E0710"
    title = "the checkpoint `{path}` is damaged or not a checkpoint"
    note = "{reason}"
    help = "{other}"
    path: str
    reason: str
    other: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckpointMismatch(TrainingMistake):
    """The cell, the data or a setting differ from the checkpoint's."""

    code = "E0711"
    title = "the checkpoint `{path}` belongs to another run"
    note = "{difference}"
    help = "resume with the settings it was made with, or start in another folder"
    path: str
    difference: str


@dataclass(frozen=True, kw_only=True)
class CheckpointTooNew(TrainingMistake):
    """A checkpoint of a later format."""

    code = "E0712"
    title = "the checkpoint `{path}` has version {version}; this rnndsl reads up to {known}"
    help = "use the rnndsl that wrote it, or a newer one"
    path: str
    version: str
    known: str


@dataclass(frozen=True, kw_only=True)
class RunExists(TrainingMistake):
    """A new run would overwrite an old one."""

    code = "E0714"
    title = "the folder `{folder}` already holds a run"
    help = "continue it with `rnndsl train --resume {folder}`, or choose another folder"
    folder: str


# ------------------------------------------------------------------------------ generation


@dataclass(frozen=True, kw_only=True)
class UnknownTokens(TrainingMistake):
    """``--prime`` has characters outside the vocabulary."""

    code = "E0713"
    title = "the text to begin with has {tokens}, which the model has never seen"
    note = "the model knows: {known}"
    help = "begin with text made of what the model was trained on"
    tokens: str
    known: str


def training_error(mistake: TrainingMistake) -> RnndslError:
    """The exception that carries ``mistake``."""
    return RnndslError(mistake)
