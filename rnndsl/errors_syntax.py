"""Mistakes found while a file is read: E01xx."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class UnexpectedToken(Diagnostic):
    """The grammar allows something else here."""

    code = "E0101"
    title = "unexpected {found}"
    label = "expected {expected}"
    help = "{advice}"
    found: str
    expected: str
    advice: str = ""


@dataclass(frozen=True)
class UnknownCharacter(Diagnostic):
    """A character or operator that the language does not have."""

    code = "E0102"
    title = "the language has no {found}"
    label = "not part of the language"
    help = "{advice}"
    found: str
    advice: str = ""


@dataclass(frozen=True)
class MalformedNumber(Diagnostic):
    """``.5``, ``1.``, ``12ab``, a number too large to hold."""

    code = "E0103"
    title = "this is not a number"
    label = "{reason}"
    help = "{advice}"
    reason: str
    advice: str = ""


@dataclass(frozen=True)
class UnclosedText(Diagnostic):
    """A ``"`` without its partner on the same line."""

    code = "E0104"
    title = "a text is not closed"
    label = 'this `"` has no partner on its line'


@dataclass(frozen=True)
class UnclosedBracket(Diagnostic):
    """An opening bracket without its partner."""

    code = "E0105"
    title = "`{bracket}` is never closed"
    label = "this `{bracket}` has no partner"
    bracket: str


@dataclass(frozen=True)
class UnmatchedBracket(Diagnostic):
    """A closing bracket that closes nothing, or closes one of another kind."""

    code = "E0106"
    title = "`{bracket}` closes nothing"
    label = "{reason}"
    bracket: str
    reason: str


@dataclass(frozen=True)
class WrongIndentation(Diagnostic):
    """A line that starts deeper than its block, or between two blocks."""

    code = "E0107"
    title = "{what}"
    label = "{reason}"
    what: str
    reason: str


@dataclass(frozen=True)
class MissingBlock(Diagnostic):
    """A header with nothing indented below it."""

    code = "E0108"
    title = "nothing stands in this block"
    label = "expected indented lines after this"
    help = "indent the lines that belong to it, by four spaces"


@dataclass(frozen=True)
class TooDeep(Diagnostic):
    """Brackets, blocks or operators nested beyond what a reader or the checker can follow."""

    code = "E0109"
    title = "{what} nested more than {limit} deep"
    label = "the limit is reached here"
    help = "give an inner part a name of its own, on a line before"
    what: str
    limit: int


@dataclass(frozen=True)
class KeywordAsName(Diagnostic):
    """A reserved word where a name is needed."""

    code = "E0110"
    title = "`{word}` cannot be a name"
    label = "a word of the language stands where a name belongs"
    help = "choose another name, for example `{suggestion}`"
    word: str
    suggestion: str


@dataclass(frozen=True)
class MissingColon(Diagnostic):
    """``cell``, ``for``, ``if`` or ``else`` without ``:`` before its block."""

    code = "E0111"
    title = "a `:` is missing"
    label = "expected `:` after this"
    help = "`{word}` opens a block, so its line ends with `:`"
    word: str


@dataclass(frozen=True)
class UnsupportedVersion(Diagnostic):
    """A file of a version of the language that this program does not read."""

    code = "E0112"
    title = "version {version} of the language is not supported"
    label = "this program reads version {supported}"
    help = "{advice}"
    version: str
    supported: str
    advice: str


@dataclass(frozen=True)
class MixedIndentation(Diagnostic):
    """Tabs and spaces mixed so that the depth of a line depends on the width of a tab."""

    code = "E0113"
    title = "tabs and spaces are mixed in the indentation"
    label = "cannot be compared with the line before"
    help = "indent with spaces only, four for each block"


@dataclass(frozen=True)
class NotCallable(Diagnostic):
    """Call brackets after something that is neither a name nor a choice of names."""

    code = "E0114"
    title = "this cannot be {verb}"
    label = "{reason}"
    help = "{advice}"
    verb: str
    reason: str
    advice: str = ""


@dataclass(frozen=True)
class MalformedHole(Diagnostic):
    """A hole that is neither a choice nor a generated expression."""

    code = "E0115"
    title = "this hole cannot be read"
    label = "{reason}"
    help = "a choice is `?(a | b)` or `?name(a | b)`, a generated expression `?expr(x, depth = 3)`"
    reason: str


@dataclass(frozen=True)
class ArgumentOrder(Diagnostic):
    """A positional argument after a named one, or a name given twice."""

    code = "E0116"
    title = "{what}"
    label = "{reason}"
    what: str
    reason: str


@dataclass(frozen=True)
class StatementTooLong(Diagnostic):
    """One statement with more words and signs than any equation has."""

    code = "E0117"
    title = "this statement is too long"
    label = "it has {size:,} words and signs; the limit is {limit:,}"
    help = "give a part of it a name of its own, on a line before"
    size: int
    limit: int


@dataclass(frozen=True)
class UnreadableFile(Diagnostic):
    """A file that is missing, is a folder, or may not be read."""

    code = "E0120"
    title = "cannot read `{path}`"
    label = "{reason}"
    help = "did you mean `{suggestion}`?"
    path: str
    reason: str
    suggestion: str = ""


@dataclass(frozen=True)
class NotUtf8(Diagnostic):
    """Bytes that are not text in UTF-8."""

    code = "E0121"
    title = "this file is not text in UTF-8"
    label = "byte 0x{byte:02x}, number {offset} of the file"
    help = "save the file with the encoding UTF-8"
    byte: int
    offset: int


@dataclass(frozen=True)
class FileTooLarge(Diagnostic):
    """A file beyond any that holds cells."""

    code = "E0122"
    title = "`{path}` is too large"
    label = "it has {size:,} {unit}; the limit is {limit:,}"
    path: str
    size: int
    unit: str
    limit: int


@dataclass(frozen=True)
class UnwritableFile(Diagnostic):
    """A file that could not be replaced; its old content stands."""

    code = "E0123"
    title = "cannot write `{path}`"
    label = "{reason}"
    path: str
    reason: str


@dataclass(frozen=True)
class UnknownCode(Diagnostic):
    """``rnndsl explain`` was asked about a code that no error has."""

    code = "E0130"
    title = "no error has the code `{asked}`"
    help = "did you mean `{suggestion}`?"
    asked: str
    suggestion: str = ""
