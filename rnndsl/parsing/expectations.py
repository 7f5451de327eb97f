"""What the grammar expected, in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping

from rnndsl import errors_syntax as errors
from rnndsl.diagnostics import Diagnostic, did_you_mean
from rnndsl.parsing.layout import Line, Token, span_of
from rnndsl.source import Source

_EXPRESSION = frozenset(
    {"NAME", "PRIMED", "NUMBER", "INF", "STRING", "LPAR", "MINUS", "NOT", "QMARK"}
)
_OPERATOR = frozenset(
    {"PLUS", "MINUS", "TIMES", "OVER", "AT", "POWER", "COMPARE", "AND", "OR", "IF"}
    | {"LPAR", "LSQB", "DOT"}
)
_NAMED = {
    "NAME": "a name",
    "PRIMED": "a name",
    "NUMBER": "a number",
    "STRING": 'a text in `"`',
    "_NEWLINE": "the end of the line",
    "_INDENT": "an indented block",
}
_HIDDEN = frozenset({"BROKEN", "_DEDENT", "_INDENT", "$END"})
_HEADERS = frozenset({"CELL", "SPACE", "FOR", "IF", "ELIF", "ELSE"})
_STATEMENT_WORDS = ("input", "state", "param", "return", "for", "if", "else")
_NOUNS = frozenset({"INPUT", "STATE", "PARAM", "CELL", "SPACE", "FROZEN", "RNNDSL"})
_STATEMENT_STARTS = frozenset({"INPUT", "STATE", "PARAM", "RETURN", "FOR", "IF", "ELIF", "ELSE"})
_TOP_EXPECTED = "`cell`, `space` or `from`"
_INDENT_IT = "statements belong to a cell: indent this line by four spaces"
# Words that begin a line, but not this one.
_MISPLACED = {
    "CELL": "cells do not nest: begin it at the start of a line",
    "SPACE": "spaces do not nest: begin it at the start of a line",
    "FROM": "imports stand before the first cell",
    "RNNDSL": "the version stands on the first line",
    "ELSE": "it belongs below an `if` at the same column",
    "ELIF": "it belongs below an `if` at the same column",
}
_TOP_WORDS = ("cell", "space", "from", "rnndsl")
# Words of other languages at the start of a line.
_FOREIGN = {
    "def": "a cell begins with `cell NAME(D, H):`",
    "class": "a cell begins with `cell NAME(D, H):`",
    "while": "loops have a fixed length: `for l in 0..depth:`",
    "let": "a value is named by `name = ...`",
    "var": "a value is named by `name = ...`",
    "output": "the output is given by `return`",
    "parameter": "a parameter is declared by `param W: [H, D]`",
    "weight": "a parameter is declared by `param W: [H, D]`",
    "hidden": "a state is declared by `state h: [H]`",
}


def explain_unexpected(
    source: Source,
    line: Line,
    token: Token,
    before: Token | None,
    accepts: set[str],
    literals: Mapping[str, str],
) -> Diagnostic:
    """The mistake at ``token``, which follows ``before`` on ``line``."""
    misspelt = _misspelt(source, line, token, before, accepts)
    if misspelt:
        return misspelt
    keyword = _keyword_as_name(source, line, token, before, accepts, literals)
    if keyword:
        return keyword
    first = line.tokens[0]
    at_end = token.type == "_NEWLINE"
    # What is missing at the end of a line is shown on its last token, not on the next line.
    span = span_of(source, (before or first) if at_end else token)
    if at_end and "COLON" in accepts and first.type in _HEADERS:
        return errors.MissingColon(span, str(first))
    found = "end of line" if at_end else f"`{_shorten(str(token))}`"
    expected = _describe(accepts, literals)
    return errors.UnexpectedToken(span, found, expected, _advice(token, accepts))


def _misspelt(
    source: Source, line: Line, token: Token, before: Token | None, accepts: set[str]
) -> Diagnostic | None:
    """A line whose first word was meant as a word of the language, or is one of another."""
    first = line.tokens[0]
    top = {"CELL", "SPACE"} <= accepts
    if first is not token and len(line.tokens) > 1 and line.tokens[1] is not token:
        return None
    if before is None and not top and first.type in _MISPLACED:
        span, advice = span_of(source, first), _MISPLACED[first.type]
        return errors.UnexpectedToken(span, f"`{first}`", "a statement", advice)
    if before is None and top and first.type in _STATEMENT_STARTS:
        span = span_of(source, first)
        return errors.UnexpectedToken(span, f"`{first}`", _TOP_EXPECTED, _INDENT_IT)
    if first.type not in ("NAME", "PRIMED") or not (top or before is first):
        return None
    word, span = str(first), span_of(source, first)
    expected = _TOP_EXPECTED if top else "a statement"
    if token.type == "NAME" and word in _FOREIGN:
        return errors.UnexpectedToken(span, f"`{word}`", expected, _FOREIGN[word])
    if not top and token.type not in ("NAME", "PRIMED"):
        return None
    close = did_you_mean(word, _TOP_WORDS if top else _STATEMENT_WORDS)
    if close:
        return errors.UnexpectedToken(span, f"`{word}`", expected, f"did you mean `{close}`?")
    if top:
        assigns = len(line.tokens) > 1 and line.tokens[1].type == "EQUAL"
        return errors.UnexpectedToken(
            span, f"`{_shorten(word)}`", expected, _INDENT_IT if assigns else ""
        )
    return None


def _keyword_as_name(
    source: Source,
    line: Line,
    token: Token,
    before: Token | None,
    accepts: set[str],
    literals: Mapping[str, str],
) -> Diagnostic | None:
    is_word = literals.get(token.type, "").isalpha()
    if is_word and "NAME" in accepts:
        if accepts >= {"NAME", "NUMBER"}:
            # Before `if` an expression is missing; `state` was meant as a name.
            return _keyword(source, token) if token.type in _NOUNS else None
        return _keyword(source, token)
    # `state = 3`: the first word of a statement was meant as a name.
    first = line.tokens[0]
    meant_as_name = token.type == "EQUAL" and before is first
    if meant_as_name and literals.get(first.type, "").isalpha():
        return _keyword(source, first)
    return None


def _keyword(source: Source, token: Token) -> Diagnostic:
    word = str(token)
    return errors.KeywordAsName(span_of(source, token), word, f"{word}_")


def _describe(accepts: set[str], literals: Mapping[str, str]) -> str:
    """``an expression, `)` or the end of the line``."""
    rest = set(accepts) - _HIDDEN
    words: list[str] = []
    if {"INPUT", "RETURN"} <= rest:
        return "a statement"
    if {"CELL", "SPACE"} <= rest:
        return _TOP_EXPECTED
    if {"NAME", "NUMBER", "LPAR", "MINUS"} <= rest:
        words.append("an expression")
        rest -= _EXPRESSION
    elif {"PLUS", "TIMES"} <= rest:
        words.append("an operator")
        rest -= _OPERATOR
    words += sorted({_NAMED.get(name) or f"`{literals.get(name, name)}`" for name in rest})
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "nothing"


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _advice(token: Token, accepts: set[str]) -> str:
    """A likely fix, or ""."""
    if token.type == "COMPARE" and str(token) == "==" and "EQUAL" in accepts:
        return "a value is named with one `=`"
    if token.type == "EQUAL" and "COMPARE" in accepts:
        return "equality is tested with `==`"
    if token.type == "COMPARE" and accepts >= {"AND", "OR"}:
        return "comparisons do not chain: write `a < b and b < c`"
    if token.type == "VBAR":
        return "a choice is written `?(a | b)`"
    if token.type == "PLUS" and "MINUS" in accepts and "PLUS" not in accepts:
        return "there is no sign `+`; leave it out"
    if token.type == "FROM":
        return "imports stand before the first cell"
    if "ELSE" in accepts and "NAME" not in accepts:
        return "outside of the arguments of a call, `a if test` needs its `else b`"
    return ""
