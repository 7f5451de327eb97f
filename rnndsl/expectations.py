"""What the grammar expected, in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping

from rnndsl import errors_syntax as errors
from rnndsl.diagnostics import Diagnostic, did_you_mean
from rnndsl.layout import Line, Token, span_of
from rnndsl.source import Source, Span

# Terminals that stand for one idea when all of them are possible.
_GROUPS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"NAME", "NUMBER", "LPAR", "MINUS"}), "an expression"),
    (frozenset({"PLUS", "TIMES", "POWER"}), "an operator"),
    (frozenset({"INPUT", "STATE", "RETURN", "NAME"}), "a statement"),
    (frozenset({"CELL", "SPACE"}), "`cell` or `space`"),
)
_EXPRESSION = frozenset(
    {"NAME", "PRIMED", "NUMBER", "INF", "STRING", "LPAR", "MINUS", "NOT", "QMARK"}
)
_OPERATOR = frozenset(
    {"PLUS", "MINUS", "TIMES", "OVER", "AT", "POWER", "COMPARE", "AND", "OR", "IF"}
    | {"LPAR", "LSQB", "DOT"}
)
_STATEMENT = frozenset(
    {"INPUT", "STATE", "PARAM", "FOR", "IF", "RETURN", "NAME", "PRIMED", "BROKEN", "_DEDENT"}
    | {"ELSE", "ELIF"}
)
_TOP = frozenset({"CELL", "SPACE", "FROM", "RNNDSL", "BROKEN", "$END"})
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
    keyword = _keyword_as_name(source, line, token, before, accepts, literals)
    if keyword:
        return keyword
    at_end = token.type == "_NEWLINE"
    after = before or line.tokens[0]
    first = line.tokens[0]
    if "COLON" in accepts and first.type in _HEADERS and _ends_header(line, token):
        return errors.MissingColon(_after(source, after), literals.get(first.type, str(first)))
    span = _after(source, after) if at_end else span_of(source, token)
    found = "end of line" if at_end else f"`{_shorten(str(token))}`"
    expected = _describe(accepts, literals)
    return errors.UnexpectedToken(span, found, expected, _advice(line, token, before, accepts))


def _after(source: Source, token: Token) -> Span:
    """The last token before something missing; a mistake on the next line would be misleading."""
    return span_of(source, token)


def _ends_header(line: Line, token: Token) -> bool:
    """Whether a header line ran to its end without a colon."""
    return token.type == "_NEWLINE"


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
        named = "an expression" if accepts >= {"NAME", "NUMBER"} else "a name"
        return _keyword(source, token, named)
    # `state = 3`: the first word of a statement was meant as a name.
    first = line.tokens[0]
    meant_as_name = token.type == "EQUAL" and before is first
    if meant_as_name and literals.get(first.type, "").isalpha():
        return _keyword(source, first, "a name")
    return None


def _keyword(source: Source, token: Token, expected: str) -> Diagnostic:
    word = str(token)
    return errors.KeywordAsName(span_of(source, token), word, expected, f"{word}_")


def _describe(accepts: set[str], literals: Mapping[str, str]) -> str:
    """``an expression, `)` or the end of the line``."""
    rest = set(accepts) - _HIDDEN
    words: list[str] = []
    if {"INPUT", "RETURN"} <= rest:
        return "a statement"
    if {"CELL", "SPACE"} <= rest:
        return "`cell`, `space` or `from`" if "FROM" in rest else "`cell` or `space`"
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


def _advice(line: Line, token: Token, before: Token | None, accepts: set[str]) -> str:
    """A likely fix, or ""."""
    first = line.tokens[0]
    word = str(first)
    if first.type == "NAME" and word in _FOREIGN and (before is None or before is first):
        return _FOREIGN[word]
    if first.type == "NAME" and before is first and token.type in ("NAME", "PRIMED"):
        close = did_you_mean(word, ("input", "state", "param", "return", "for", "cell", "space"))
        return f"did you mean `{close}`?" if close else ""
    if token.type == "COMPARE" and str(token) == "==" and "EQUAL" in accepts:
        return "a value is named with one `=`"
    if token.type == "EQUAL" and "COMPARE" in accepts:
        return "equality is tested with `==`"
    if token.type == "COMPARE" and accepts >= {"AND", "OR"}:
        return "comparisons do not chain: write `a < b and b < c`"
    if token.type == "VBAR":
        return "a choice is written `?(a | b)`"
    if token.type == "IF" and "ELSE" in accepts or token.type == "_NEWLINE" and "ELSE" in accepts:
        return "outside of a call `a if test` needs its `else b`"
    return ""
