"""Logical lines and blocks: what indentation and brackets mean, before the grammar is asked.

Lark's own Indenter stops at the first odd dedent and cannot survive a stray bracket; here every
line that cannot be used is marked, so that the lines after it are read and reported too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from rnndsl import errors_syntax as errors
from rnndsl.diagnostics import Diagnostic, Related, RnndslError
from rnndsl.parsing.lexical import lexical_error
from rnndsl.source import Source, Span

MAX_DEPTH = 100  # brackets, blocks and operators; keeps every recursion over a tree safe
MAX_TOKENS = 5_000  # words and signs of one statement

_CLOSER = {"(": ")", "[": "]"}
_HEADERS = frozenset({"CELL", "SPACE", "FOR", "IF", "ELIF", "ELSE"})
# Words that never stand inside brackets: at the start of a line they show an unclosed one.
_STATEMENTS = frozenset({"CELL", "SPACE", "INPUT", "STATE", "PARAM", "FOR", "RETURN", "ELIF"})


class Token(Protocol):
    """The part of a Lark token that is used here."""

    @property
    def type(self) -> str: ...
    @property
    def start_pos(self) -> int | None: ...
    @property
    def end_pos(self) -> int | None: ...


@dataclass(slots=True)
class Line:
    """One logical line: its tokens, and what is wrong with it before parsing."""

    tokens: list[Token]
    opens: int = 0  # blocks that begin before this line: 0 or 1
    closes: int = 0  # blocks that end before this line
    stray: bool = False  # indented deeper than its block, without a header above
    unfilled: bool = False  # a header with no block below
    misplaced: Diagnostic | None = None  # wrong indentation; the line itself can be read
    errors: list[Diagnostic] = field(default_factory=list)  # the line cannot be read

    @property
    def is_header(self) -> bool:
        """Whether an indented block may follow."""
        return self.tokens[0].type in _HEADERS or self.tokens[-1].type == "COLON"


@dataclass(frozen=True, slots=True)
class Layout:
    """The lines of a file, its comments as (offset, text, own line), and open blocks at its end."""

    lines: tuple[Line, ...]
    comments: tuple[tuple[int, str, bool], ...]
    open_blocks: int


def lay_out(source: Source, tokens: Iterable[Token]) -> Layout:
    """Group all tokens of a file into lines and blocks.

    Raises RnndslError at once when something is nested too deeply; every other mistake is kept
    in the line that it spoils.
    """
    tokens = list(tokens)
    comments = tuple(_comments(tokens))
    lines, unclosed = _split(source, tokens, guess=False)
    if unclosed:
        # Somewhere a bracket is open; now a line that looks like an assignment ends it too.
        lines, _ = _split(source, tokens, guess=True)
    open_blocks = _find_blocks(source, lines)
    return Layout(tuple(lines), comments, open_blocks)


def span_of(source: Source, first: Token, last: Token | None = None) -> Span:
    """The span from the first to the last token."""
    return Span(source.name, first.start_pos or 0, (last or first).end_pos or 0)


def _comments(tokens: list[Token]) -> Iterator[tuple[int, str, bool]]:
    own_line = True
    for token in tokens:
        if token.type == "LINE":
            own_line = True
        elif token.type == "COMMENT":
            yield token.start_pos or 0, str(token), own_line
        else:
            own_line = False


# -------------------------------------------------------------------------- logical lines


def _split(source: Source, tokens: list[Token], guess: bool) -> tuple[list[Line], bool]:
    """Lines by line breaks outside brackets; also whether a bracket was open at the end."""
    lines: list[Line] = []
    line: Line | None = None
    brackets: list[Token] = []
    fresh = True  # at the start of a physical line
    code = [token for token in tokens if token.type != "COMMENT"]

    for at, token in enumerate(code):
        if token.type == "LINE":
            fresh = True
            if not brackets:
                line = None
            continue
        if fresh and brackets and line and _ends_brackets(source, code, at, line, guess):
            _report_unclosed(source, line, brackets)
            brackets, line = [], None
        fresh = False
        if line is None:
            line = Line([])
            lines.append(line)
        line.tokens.append(token)
        error = lexical_error(source, token) or _track(source, token, brackets)
        if error and not _repeats(error, line):
            line.errors.append(error)
    if brackets and line:
        _report_unclosed(source, line, brackets)
    for line in lines:
        if len(line.tokens) > MAX_TOKENS and not line.errors:
            span = span_of(source, line.tokens[0])
            line.errors.append(errors.StatementTooLong(span, len(line.tokens), MAX_TOKENS))
    return lines, bool(brackets)


def _repeats(error: Diagnostic, line: Line) -> bool:
    """Whether the error only goes on where the one before ends, as in a run of odd bytes."""
    last = line.errors[-1].span if line.errors else None
    same = bool(line.errors) and type(line.errors[-1]) is type(error)
    if not (same and last and error.span and last.end == error.span.start):
        return False
    line.errors[-1] = replace(line.errors[-1], span=last.join(error.span))
    return True


def _ends_brackets(source: Source, code: list[Token], at: int, line: Line, guess: bool) -> bool:
    token = code[at]
    if token.type in _STATEMENTS:
        return True
    assigns = at + 1 < len(code) and code[at + 1].type == "EQUAL"
    if token.type == "PRIMED":
        return assigns
    if not (guess and assigns and token.type == "NAME"):
        return False
    return len(_indent(source, token)) <= len(_indent(source, line.tokens[0]))


def _track(source: Source, token: Token, brackets: list[Token]) -> Diagnostic | None:
    """Follow one token's effect on the open brackets."""
    if token.type in ("LPAR", "LSQB"):
        brackets.append(token)
        if len(brackets) > MAX_DEPTH:
            deep = errors.TooDeep(span_of(source, token), "brackets are", MAX_DEPTH)
            raise RnndslError(deep, source)
    elif token.type in ("RPAR", "RSQB"):
        span = span_of(source, token)
        if not brackets:
            return errors.UnmatchedBracket(span, str(token), "no bracket is open here")
        opener = brackets.pop()
        if _CLOSER[str(opener)] != str(token):
            reason = f"`{opener}` needs `{_CLOSER[str(opener)]}`"
            opened = (Related(span_of(source, opener), "opened here"),)
            return errors.UnmatchedBracket(span, str(token), reason, related=opened)
    return None


def _report_unclosed(source: Source, line: Line, brackets: list[Token]) -> None:
    if any(isinstance(error, errors.UnclosedText) for error in line.errors):
        return  # the text has swallowed the bracket
    span = span_of(source, brackets[-1])
    line.errors.append(errors.UnclosedBracket(span, str(brackets[-1])))


# --------------------------------------------------------------------------------- blocks


def _find_blocks(source: Source, lines: list[Line]) -> int:
    """Set ``opens``, ``closes``, ``stray`` and ``unfilled``; returns the blocks open at the end."""
    levels: list[tuple[str, bool]] = [("", True)]  # indentation, and whether it is a real block
    previous: Line | None = None
    for line in lines:
        indent = _indent(source, line.tokens[0])
        repeated = previous is not None and _indent(source, previous.tokens[0]) == indent
        if not (repeated or _comparable(indent, levels[-1][0])):
            line.misplaced = errors.MixedIndentation(_indent_span(source, line))
        wants_block = previous is not None and previous.is_header
        if _columns(indent) > _columns(levels[-1][0]):
            _open(source, line, levels, indent, wants_block)
        else:
            if wants_block and previous is not None:
                previous.unfilled = True
            _close(source, line, levels, indent)
        line.stray = not levels[-1][1]
        previous = line
    if previous is not None and previous.is_header:
        previous.unfilled = True
    return sum(real for _, real in levels) - 1


def _open(
    source: Source, line: Line, levels: list[tuple[str, bool]], indent: str, wanted: bool
) -> None:
    levels.append((indent, wanted))
    line.opens = int(wanted)
    if not wanted:
        what, reason = "this line is indented too far", "no line above opens a block"
        line.misplaced = line.misplaced or errors.WrongIndentation(
            _indent_span(source, line), what, reason
        )
    if len(levels) > MAX_DEPTH:
        deep = errors.TooDeep(_indent_span(source, line), "blocks are", MAX_DEPTH)
        raise RnndslError(deep, source)


def _close(source: Source, line: Line, levels: list[tuple[str, bool]], indent: str) -> None:
    """Leave blocks until ``indent`` fits; a line between two blocks counts to the inner one."""
    width = _columns(indent)
    while len(levels) > 1 and _columns(levels[-2][0]) >= width:
        line.closes += levels.pop()[1]
    if _columns(levels[-1][0]) == width:
        return
    if width <= _columns(levels[-2][0]):
        line.closes += levels.pop()[1]
        return
    what, reason = "this line matches no block", "no line above starts at this column"
    line.misplaced = line.misplaced or errors.WrongIndentation(
        _indent_span(source, line), what, reason
    )


def _indent(source: Source, token: Token) -> str:
    start = token.start_pos or 0
    return source.text[source.text.rfind("\n", 0, start) + 1 : start]


def _indent_span(source: Source, line: Line) -> Span:
    token = line.tokens[0]
    width = len(_indent(source, token))
    if not width:
        return span_of(source, token)
    start = token.start_pos or 0
    return Span(source.name, start - width, start)


def _comparable(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _columns(indent: str) -> int:
    return len(indent.expandtabs(4))
