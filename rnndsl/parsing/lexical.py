"""Tokens that no program may contain, and what their author probably meant."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from rnndsl import errors_syntax as errors
from rnndsl.diagnostics import Diagnostic
from rnndsl.source import Source, Span

if TYPE_CHECKING:
    from rnndsl.parsing.layout import Token

MAX_DIGITS = 40

# What is written elsewhere, and what is written here.
_ADVICE = {
    "^": "a power is written `a ** b`",
    "%": "the remainder is written `mod(a, b)`",
    "//": "whole division is written `floor(a / b)`",
    "&": "write `and`",
    "&&": "write `and`",
    "||": "write `or`",
    "!": "write `not`",
    "~": "write `not`",
    ";": "begin a new line for each statement",
    ":=": "write `=`",
    "<-": "write `=`",
    "++": "write `y = y + 1`",
    "->": "the output of a cell is given by `return`",
    "{": "brackets are `(` and `[`",
    "}": "brackets are `(` and `[`",
    "`": "texts stand in double quotes",
    "\\": "lines continue inside brackets; no mark is needed",
    "\r": "lines end with a line feed, or with a carriage return and a line feed",
    "\ufeff": "remove the byte order mark in the middle of the file",
    "−": "write `-`",  # minus sign
    "–": "write `-`",  # en dash
    "×": "write `*`",
    "·": "write `*`",
    "⊙": "write `*`",
    "∘": "write `*`",
    "⊗": "write `outer(a, b)`",
    "÷": "write `/`",
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "←": "write `=`",
    "→": "the output of a cell is given by `return`",
    "∞": "write `inf`",
    "²": "write `** 2`",
    "√": "write `sqrt(a)`",
    "∑": "write `sum(a)`",
    "Σ": "write `sum(a)`",
    "σ": "write `sigmoid(a)`",
    "φ": "write the name of the function, for example `tanh(a)`",
    "‘": "write `'`",
    "’": "write `'`",
    "′": "write `'`",
    "“": 'write `"`',
    "”": 'write `"`',
    "…": "write `..`",
}
_ASCII_NAMES = "names are made of the letters a to z, A to Z, digits and `_`"


def lexical_error(source: Source, token: Token) -> Diagnostic | None:
    """What is wrong with one token, or None."""
    start, end = token.start_pos or 0, token.end_pos or 0
    span, text = Span(source.name, start, end), str(token)
    match token.type:
        case "NUMBER":
            return _too_large(span, text)
        case "BAD_NUMBER":
            return _bad_number(span, text)
        case "BAD_STRING":
            return errors.UnclosedText(span)
        case "BAD_ASSIGN":
            operator = text[:-1]
            advice = f"write the name twice: `y = y {operator} ...`"
            return errors.UnknownCharacter(span, f"`{text}`", advice)
        case "BAD_NAME":
            return errors.UnknownCharacter(span, f"name `{text}`", _ADVICE.get(text, _ASCII_NAMES))
        case "BAD_OPERATOR":
            return errors.UnknownCharacter(span, f"`{text}`", _ADVICE.get(text, ""))
        case "BAD":
            advice = _of_prime(source, start) if text == "'" else _ADVICE.get(text, "")
            return errors.UnknownCharacter(span, _describe(text), advice)
    return None


def _of_prime(source: Source, start: int) -> str:
    before = source.text[start - 1 : start]
    if before == "'":
        return "a name takes one prime, for the value at the next step"
    if before.isalnum() or before in (")", "]"):
        return "only a name takes a prime, directly after it"
    return "texts stand in double quotes"


def _describe(char: str) -> str:
    if char.isprintable():
        return f"`{char}`"
    name = unicodedata.name(char, "").lower()
    return f"character U+{ord(char):04X}" + (f" ({name})" if name else "")


def _too_large(span: Span, text: str) -> Diagnostic | None:
    if len(text) > MAX_DIGITS:
        return errors.MalformedNumber(span, f"more than {MAX_DIGITS} characters")
    if float(text) == float("inf") or (text.isdigit() and int(text) >= 2**63):
        return errors.MalformedNumber(span, "too large", "the largest number is written `inf`")
    return None


def _bad_number(span: Span, text: str) -> Diagnostic:
    if text.startswith("."):
        return errors.MalformedNumber(
            span, "digits are missing before the point", f"write `0{text}`"
        )
    if text.endswith(".") and text[:-1].isdigit():
        return errors.MalformedNumber(
            span, "digits are missing after the point", f"write `{text}0`"
        )
    if "_" in text and text.replace("_", "").isdigit():
        return errors.MalformedNumber(
            span, "digits stand without `_` between", f"write `{text.replace('_', '')}`"
        )
    if text[:2].lower() in ("0x", "0b", "0o"):
        return errors.MalformedNumber(span, "numbers are decimal")
    if text[:-1].replace(".", "").isdigit() and text[-1] in "eE":
        return errors.MalformedNumber(span, f"digits are missing after `{text[-1]}`")
    if text.replace(".", "").isdigit():
        return errors.MalformedNumber(span, "a number has one point, with digits around it")
    if text[0].isdigit() and text.replace("_", "").isalnum():
        return errors.MalformedNumber(span, "a name cannot begin with a digit")
    return errors.MalformedNumber(
        span, "digits, perhaps a point, perhaps an exponent such as `e-3`"
    )
