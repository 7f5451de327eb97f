"""Text to syntax tree: layout, then Lark's LALR parser line by line, then the tree.

A line that cannot be read is replaced by the token BROKEN and reading goes on, so that one run
reports every mistake of a file.  This is the only module that loads Lark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedToken
from lark.lark import PostLex
from lark.parsers.lalr_interactive_parser import InteractiveParser

from rnndsl import errors_syntax as errors
from rnndsl.diagnostics import Diagnostic, RnndslError
from rnndsl.parsing.expectations import explain_unexpected
from rnndsl.parsing.layout import Layout, Line, lay_out, span_of
from rnndsl.parsing.layout import Token as Lexeme
from rnndsl.parsing.reading import MAX_BYTES
from rnndsl.parsing.tree import build_file
from rnndsl.source import Source
from rnndsl.syntax import File

VERSION = 1  # of the language
MAX_ERRORS = 50  # of one file; reading stops there


class _KeepLayout(PostLex):
    """Asks Lark to keep the tokens that only the layout reads."""

    always_accept = (
        "COMMENT",
        "LINE",
        "BAD",
        "BAD_ASSIGN",
        "BAD_NAME",
        "BAD_NUMBER",
        "BAD_OPERATOR",
        "BAD_STRING",
    )

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return stream


@cache
def _lark() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        start="file",
        parser="lalr",
        lexer="basic",
        postlex=_KeepLayout(),
        propagate_positions=True,
        maybe_placeholders=True,
    )


def parse_file(source: Source) -> File:
    """Read one file of cells.

    Raises RnndslError with every syntax error found, each with its span.  Takes time and memory
    in proportion to the text, which is limited in length and in depth.
    """
    size = len(source.text)
    if size > MAX_BYTES:
        too_large = errors.FileTooLarge(None, source.name, size, "characters", MAX_BYTES)
        raise RnndslError(too_large, source)
    start = _lark().parse_interactive(source.text)
    tokens: Iterator[Token] = start.lexer_thread.lex(start.parser_state)  # type: ignore[no-untyped-call]
    layout = lay_out(source, tokens)
    _check_version(source, layout)
    tree, found = _read(source, start, layout)
    if found or tree is None:
        raise RnndslError(found, source)
    return build_file(source, tree, layout.comments)


def _check_version(source: Source, layout: Layout) -> None:
    """Refuse another version before anything else is said about the file."""
    if not layout.lines:
        return
    tokens = layout.lines[0].tokens
    if len(tokens) < 2 or tokens[0].type != "RNNDSL" or tokens[1].type != "NUMBER":
        return
    if str(tokens[1]) != str(VERSION):
        advice = "update rnndsl, or write the file for this version"
        span = span_of(source, tokens[1])
        raise RnndslError(
            errors.UnsupportedVersion(span, str(tokens[1]), str(VERSION), advice), source
        )


# --------------------------------------------------------------------------------- reading


def _read(
    source: Source, parser: InteractiveParser, layout: Layout
) -> tuple[Tree[Token] | None, list[Diagnostic]]:
    found: list[Diagnostic] = []
    broken = False  # the line before could not be read
    depth, broken_at = 0, dict[int, bool]()  # whether the last line at each depth was broken
    end = Token("_NEWLINE", "", 0, 1, 1, 1, 1, 0)
    for line in layout.lines:
        _feed_marks(parser, line, end)
        first, last = line.tokens[0], line.tokens[-1]
        depth += line.opens - line.closes
        # What hangs below a broken line, or continues it, is not its own mistake.
        continues = first.type in ("ELSE", "ELIF") and broken_at.get(depth, False)
        follows = continues or (broken and line.stray)
        if line.misplaced and not follows:
            found.append(line.misplaced)
        end = _mark("_NEWLINE", last)
        mistakes = [] if follows else list(line.errors)
        if not (mistakes or follows):
            saved = copy_parser(parser)
            mistake = _feed_line(source, parser, line, end)
            if mistake is None and line.unfilled:
                mistake = errors.MissingBlock(span_of(source, first, last))
            if mistake:
                mistakes, parser = [mistake], saved
        broken = broken_at[depth] = bool(mistakes) or follows
        found += mistakes
        if len(found) >= MAX_ERRORS:
            return None, found
        if broken:
            parser.feed_token(_mark("BROKEN", last))
    for _ in range(layout.open_blocks):
        parser.feed_token(_mark("_DEDENT", end))
    if found:
        return None, found
    tree: Tree[Token] = parser.feed_eof(end)  # type: ignore[no-untyped-call]
    return tree, found


def _feed_marks(parser: InteractiveParser, line: Line, end: Token) -> None:
    for _ in range(line.closes):
        parser.feed_token(_mark("_DEDENT", end))
    for _ in range(line.opens):
        parser.feed_token(_mark("_INDENT", end))


def _feed_line(
    source: Source, parser: InteractiveParser, line: Line, end: Token
) -> Diagnostic | None:
    """Feed one line; the mistake that stopped it, or None."""
    saved = copy_parser(parser)
    fed: list[Token] = []
    try:
        for token in _tokens(line, end):
            parser.feed_token(token)
            fed.append(token)
    except UnexpectedToken as error:
        # The failing token has already closed what it can; ask the parser as it was before.
        for token in fed:
            saved.feed_token(token)
        before = fed[-1] if fed else None
        accepts: set[str] = saved.accepts()  # type: ignore[no-untyped-call]
        return explain_unexpected(source, line, error.token, before, accepts, _literals())
    return None


def copy_parser(parser: InteractiveParser) -> InteractiveParser:
    """A parser that goes on from the same place; cheap, since the trees are shared."""
    copied: InteractiveParser = parser.copy(deepcopy_values=False)  # type: ignore[no-untyped-call]
    return copied


def _tokens(line: Line, end: Token) -> Iterable[Token]:
    for token in line.tokens:
        assert isinstance(token, Token)
        yield token
    yield end


def _mark(kind: str, after: Lexeme) -> Token:
    """An empty token at the end of ``after``, so that no span reaches over a line break."""
    place = after.end_pos or 0
    return Token(kind, "", place, 1, 1, 1, 1, place)


@cache
def _literals() -> dict[str, str]:
    """How each terminal of fixed spelling is written: ``{"COLON": ":"}``."""
    return {
        terminal.name: terminal.pattern.value
        for terminal in _lark().terminals
        if terminal.pattern.type == "str"
    }
