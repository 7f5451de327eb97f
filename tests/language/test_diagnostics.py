"""Diagnostics: wording from fields, excerpts that line up, bounded output."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnndsl.diagnostics import (
    MAX_SHOWN,
    Binding,
    Diagnostic,
    Related,
    RnndslError,
    all_errors,
    did_you_mean,
)
from rnndsl.render import use_color
from rnndsl.source import Source, Span


@dataclass(frozen=True)
class Mismatch(Diagnostic):
    code = "E0999"
    title = "shapes do not agree"
    label = "`{op}` needs equal shapes: left is {left}, right is {right}"
    help = "did you mean `{suggestion}`?"
    op: str
    left: str
    right: str
    suggestion: str = ""


@dataclass(frozen=True)
class EmptyFile(Diagnostic):
    code = "E0998"
    title = "the file is empty"
    label = "{path} has no text"
    note = "at least {least} characters are needed"
    path: str
    least: int


@dataclass(frozen=True)
class Advice(Diagnostic):
    level = "warning"
    code = "E0997"
    title = "unused"


GRU = Source(
    "gru.rnn",
    "cell gru(D, H):\n"
    "  input x: [D]\n"
    "  state h: [H]\n"
    "  z = sigmoid(Wz @ x + Uz @ h)\n"
    "  n = tanh(Wn @ x + Un @ (r * x))\n",
)


def span(source: Source, text: str, nth: int = 0) -> Span:
    start = -1
    for _ in range(nth + 1):
        start = source.text.index(text, start + 1)
    return Span(source.name, start, start + len(text))


def mismatch(at: Span | None, suggestion: str = "") -> Mismatch:
    return Mismatch(at, "*", "[H]", "[D]", suggestion)


def test_the_whole_form() -> None:
    related = (Related(span(GRU, "h: [H]"), "h has shape [H], declared here"),)
    bindings = (Binding("D", "64", "`input x: [64]`"), Binding("H", "128"))
    error = Mismatch(
        span(GRU, "r * x"),
        "*",
        "[H]",
        "[D]",
        "r * h",
        related=related,
        bindings=bindings,
    )
    assert (
        str(RnndslError(error, GRU))
        == """\
error[E0999]: shapes do not agree  (gru.rnn:5:27)
   |
 3 |   state h: [H]
   |         ------ h has shape [H], declared here
 4 |   z = sigmoid(Wz @ x + Uz @ h)
 5 |   n = tanh(Wn @ x + Un @ (r * x))
   |                           ^^^^^ `*` needs equal shapes: left is [H], right is [D]
   |
note: so far  D = 64 (from `input x: [64]`),  H = 128
help: did you mean `r * h`?"""
    )


def test_a_help_without_its_field_is_left_out() -> None:
    assert "help" not in str(RnndslError(mismatch(span(GRU, "r * x")), GRU))


def test_fields_with_braces_are_shown_as_they_are() -> None:
    error = Mismatch(None, "{0}", "{left}", "{}", "{op}")
    text = str(RnndslError(error))
    assert "`{0}` needs equal shapes: left is {left}, right is {}" in text
    assert "did you mean `{op}`?" in text


def test_a_mistake_without_a_place() -> None:
    assert str(RnndslError(EmptyFile(None, "a.txt", 3))) == (
        "error[E0998]: the file is empty\n"
        "  a.txt has no text\n"
        "note: at least 3 characters are needed"
    )


def test_zero_is_a_value_and_not_a_missing_field() -> None:
    assert "at least 0 characters" in str(RnndslError(EmptyFile(None, "a.txt", 0)))


def test_a_warning_says_so() -> None:
    assert str(RnndslError(Advice(None))) == "warning[E0997]: unused"


def test_lines_far_apart_are_elided() -> None:
    related = (Related(span(GRU, "D"), "a dimension"),)
    text = str(RnndslError(Advice(span(GRU, "n ="), related=related), GRU))
    assert text.splitlines()[2:7] == [
        " 1 | cell gru(D, H):",
        "   |          - a dimension",
        "  ...",
        " 5 |   n = tanh(Wn @ x + Un @ (r * x))",
        "   |   ^^^",
    ]


def test_a_second_place_in_another_file_is_shown_with_its_lines() -> None:
    other = Source("other.rnn", "cell Other(D):\n    return x\n")
    related = (Related(span(other, "Other"), "defined here"), Related(Span("lost", 1, 2), "there"))
    text = str(RnndslError(Advice(span(GRU, "gru"), related=related), [GRU, other]))
    assert "  in other.rnn:1:6\n   |\n 1 | cell Other(D):\n   |      ----- defined here" in text
    assert "  lost: there" in text


def test_a_span_over_lines_marks_its_first_and_last_line() -> None:
    source = Source("a", "y = f(\n    a,\n    b,\n) + c\n")
    text = str(RnndslError(mismatch(span(source, "f(\n    a,\n    b,\n)")), source))
    assert text.splitlines()[2:7] == [
        " 1 | y = f(",
        "   |     ^^",
        "  ...",
        " 4 | ) + c",
        "   | ^ `*` needs equal shapes: left is [H], right is [D]",
    ]


@pytest.mark.parametrize("before", ["\t", "\t\t ", "漢字 ", "e\u0301 ", "é", "\x00", "\u202e", ""])
def test_the_caret_stands_under_its_text(before: str) -> None:
    source = Source("a", f"{before}MARK rest")
    lines = str(RnndslError(Advice(span(source, "MARK")), source)).splitlines()
    width = sum(2 if c in "漢字" else 0 if c == "\u0301" else 1 for c in lines[2].split("MARK")[0])
    assert lines[3].index("^") == width
    assert lines[3].rstrip().endswith("^^^^") and lines[3].count("^") == 4


def test_line_numbers_of_several_digits_line_up() -> None:
    source = Source("a", "x\n" * 1200)
    error = Advice(Span("a", 2 * 998, 2 * 998 + 1), related=(Related(Span("a", 2000, 2001), "b"),))
    lines = str(RnndslError(error, source)).splitlines()
    assert [line.index("|") for line in lines if "|" in line] == [5] * 7
    assert " 999 | x" in lines and "1001 | x" in lines


def test_a_long_line_is_cut_around_the_mark() -> None:
    source = Source("a", "x + " * 10_000 + "MARK" + " + x" * 10_000)
    lines = str(RnndslError(mismatch(span(source, "MARK")), source)).splitlines()
    assert max(map(len, lines)) < 130
    column = lines[3].index("^")
    assert lines[2][column : column + 4] == "MARK"


def test_a_label_without_room_goes_below_the_mark() -> None:
    source = Source("a", "x" * 90 + "MARK")
    lines = str(RnndslError(mismatch(span(source, "MARK")), source)).splitlines()
    assert lines[3].endswith("^^^^")
    assert "`*` needs equal shapes" in lines[4]
    assert max(map(len, lines)) <= 110


def test_colour_is_only_paint() -> None:
    error = RnndslError([mismatch(span(GRU, "r * x"), suggestion="r")], GRU)
    import re

    assert re.sub(r"\x1b\[[\d;]*m", "", error.render(color=True)) == str(error)
    assert "\x1b" not in str(error)


def test_colour_goes_to_a_terminal_unless_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert use_color(Terminal())
    assert not use_color(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_color(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not use_color(Terminal())


def test_errors_are_sorted_unique_and_limited_for_each_file() -> None:
    source = Source("a", "x\n" * 100)
    places = [Span("a", 2 * k, 2 * k + 1) for k in range(30)]
    errors = [Advice(place) for place in reversed(places)] * 2 + [Advice(None)]
    error = RnndslError(errors, source)
    assert [d.span for d in error.diagnostics] == [None, *places]
    text = str(error)
    assert text.count("warning[E0997]") == MAX_SHOWN + 1
    assert text.endswith(f"... and {30 - MAX_SHOWN} more errors in a")


def test_an_error_survives_copying_between_processes() -> None:
    error = RnndslError(mismatch(span(GRU, "r * x")), GRU)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=80), st.integers(0, 90), st.integers(0, 90), st.text(max_size=150))
def test_any_text_and_place_render(text: str, start: int, length: int, label: str) -> None:
    source = Source("a", text)
    at = Span("a", start, start + length)
    error = Mismatch(at, label, text, "", related=(Related(Span("a", length, start), label),))
    rendered = str(RnndslError(error, source))
    assert rendered.encode("utf-8")
    assert not set(rendered) & set(map(chr, range(32))) - {"\n"}


# --------------------------------------------------------------------------- suggestions


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("hiden", ["hidden", "h", "input"], "hidden"),
        ("lstm", ["LSTM", "GRU"], "LSTM"),
        ("sigmod", ["sigmoid", "softmax"], "sigmoid"),
        ("zzz", ["hidden"], ""),
        ("x", [], ""),
        ("x" * 100_000, ["x" * 99_999], ""),
    ],
)
def test_did_you_mean(name: str, candidates: list[str], expected: str) -> None:
    assert did_you_mean(name, candidates) == expected


def test_suggestions_do_not_depend_on_the_order_of_the_names() -> None:
    names = ["state_a", "state_b", "state_c"]
    assert did_you_mean("state_", names) == did_you_mean("state_", reversed(names))


# ---------------------------------------------------------------------------- catalogues


def test_the_catalogue_lists_every_error_once() -> None:
    found = all_errors()
    assert list(found) == sorted(found)
    assert {"E0101", "E0130"} <= set(found)
    assert all(error.code == code for code, error in found.items())
