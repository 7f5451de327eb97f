"""The formatter: parse∘format is the identity, format∘format is format, no comment is lost."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rnndsl import syntax as s
from rnndsl.formatting.files import format_paths, format_text
from rnndsl.formatting.formatter import WIDTH, format_cell, format_expr, format_file
from rnndsl.parsing.layout import MAX_DEPTH
from rnndsl.parsing.parser import parse_file
from rnndsl.source import Source
from tests.language import strategies

STDLIB = sorted(Path(__file__).parents[2].glob("rnndsl/stdlib/*.rnn"))
_SETTINGS = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def parse(text: str) -> s.File:
    return parse_file(Source("test.rnn", text))


def parse_expr(text: str) -> s.Expr:
    statement = parse(f"cell A():\n    return {text}\n").cells[0].body[0]
    assert isinstance(statement, s.Return)
    return statement.value


@_SETTINGS
@given(strategies.files())
def test_parsing_a_formatted_tree_gives_the_tree_back(file: s.File) -> None:
    text = format_file(file)
    again = parse(text)
    assert again == file
    assert format_file(again) == text


@_SETTINGS
@given(strategies.expressions(12))
def test_an_expression_on_one_line_parses_back(expr: s.Expr) -> None:
    assert parse_expr(format_expr(expr)) == expr


@pytest.mark.parametrize(
    "text",
    [
        "a - (b - c)",
        "a - b - c",
        "(a ** b) ** c",
        "a ** b ** c",
        "-a ** 2",
        "(-a) ** 2",
        "a ** -b",
        "2 * (a + b) @ c",
        "not a < b and c or d",
        "not (a and b)",
        "(a if t else b) if u else c if v else d",
        "f(a if t, (b if u else c) if v)",
        "(a < b) == c",
        "-(a + b)",
        "k.c' * k.y[l + 1].z",
        "(2).c",
        "?(a | g * h if t else 0)",
        "?u:expr(x, depth = 3)",
    ],
)
def test_canonical_expressions_keep_exactly_their_parentheses(text: str) -> None:
    assert format_expr(parse_expr(text)) == text


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("((a)) + (b * c)", "a + b * c"),
        ("(a * b) * c", "a * b * c"),
        ("f( a,b , )", "f(a, b)"),
        ("- ( a )", "-a"),
        ("linear [H] (x,bias=-2)", "linear[H](x, bias = -2)"),
    ],
)
def test_needless_parentheses_and_spaces_go(written: str, canonical: str) -> None:
    assert format_expr(parse_expr(written)) == canonical


def test_long_statements_break_inside_brackets() -> None:
    terms = " + ".join(f"gate_number_{k} * tanh(value_{k})" for k in range(6))
    text = format_text(f"cell A():\n    y = {terms}\n    return f({terms}, {terms})\n")
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "    y = (\n        gate_number_0 * tanh(value_0)\n        + gate_number_1" in text
    assert "\n    return f(\n        gate_number_0" in text
    assert format_text(text) == text


_COMMENTED = """\
#head
rnndsl 1 # version


from "g.rnn" import A,B   # imported
# about the cell
cell A(D, # a dimension
       H):#header

    # first
    input x: [D]


    for l in 0..3: # loop
        y = f(x, # inside
              H) # after
        # tail of the loop
    # before the condition
    if D == 1:
      z = y
      # tail of if
    # before else
    else: # else
      # head of else
      z = x
    return z
# end
"""


def test_comments_stay_with_what_they_speak_of() -> None:
    assert (
        format_text(_COMMENTED)
        == """\
# head
rnndsl 1  # version

from "g.rnn" import A, B  # imported

# about the cell
# a dimension
cell A(D, H):  # header
    # first
    input x: [D]

    for l in 0..3:  # loop
        # inside
        y = f(x, H)  # after
        # tail of the loop
    # before the condition
    if D == 1:
        z = y
        # tail of if
    # before else
    else:  # else
        # head of else
        z = x
    return z
# end
"""
    )


def test_a_comment_between_else_and_if_stands_above_elif() -> None:
    before = "cell A(D):\n    if D == 1:\n        y = x\n"
    text = before + "    else:\n        # why\n        if D == 2:\n            y = z\n"
    assert format_text(text) == before + "    # why\n    elif D == 2:\n        y = z\n"


@_SETTINGS
@given(st.data())
def test_no_comment_is_lost_wherever_it_stands(data: st.DataObject) -> None:
    lines = _COMMENTED.split("\n")
    for k in data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=6)):
        word = f"mark{data.draw(st.integers(0, 99))}"
        indent = " " * data.draw(st.integers(0, 9))
        lines[k] = data.draw(
            st.sampled_from([f"{lines[k]} # {word}", f"{indent}# {word}\n\n{lines[k]}"])
        )
    text = "\n".join(lines)
    once = format_text(text)
    # Comments within one statement may change places, none may vanish.
    assert sorted(re.findall(r"mark\d+", once)) == sorted(re.findall(r"mark\d+", text))
    assert format_text(once) == once
    assert parse(once) == parse(text)


def test_single_blank_lines_between_groups_stay_and_others_go() -> None:
    text = "cell A(D):\n\n    input x: [D]\n\n\n    y = x\n    z = y\n\n    return z\n\n\n\n"
    assert format_text(text) == (
        "cell A(D):\n    input x: [D]\n\n    y = x\n    z = y\n\n    return z\n"
    )


def test_a_cell_without_source_gets_its_declarations_set_apart() -> None:
    cell = parse("cell A(D):\n  input x: [D]\n  state h: [D]\n  h' = x\n  return h\n").cells[0]
    assert format_cell(cell) == (
        "cell A(D):\n    input x: [D]\n    state h: [D]\n\n    h' = x\n    return h\n"
    )


def test_the_deepest_permitted_nesting_formats() -> None:
    depth = MAX_DEPTH - 1
    for text in (
        "f(" * depth + "x" + ")" * depth,
        "-" * depth + "x",
        " + ".join(["x"] * (depth + 1)),
        " ** ".join(["x"] * (depth + 1)),
        "x" + " if t else x" * depth,
        "?(" * depth + "x" + ")" * depth,
        "x" + "[0]" * depth,
    ):
        expr = parse_expr(text)
        assert parse_expr(format_expr(expr)) == expr
        whole = format_text(f"cell A():\n    return {text}\n")
        assert format_text(whole) == whole


@pytest.mark.parametrize("path", STDLIB, ids=lambda path: path.name)
def test_the_standard_library_is_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_text(text, path.name) == text


@example("cell A():\r\n    return x\r\n")
@given(st.just("cell A():\n\treturn   x\n"))
@settings(max_examples=1)
def test_line_ends_of_the_file_are_kept(text: str) -> None:
    assert ("\r\n" in format_text(text)) == ("\r\n" in text)


# ------------------------------------------------------------------------------- files


def test_files_are_replaced_and_folders_searched(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    one, two = tmp_path / "one.rnn", tmp_path / "deep" / "two.rnn"
    one.write_text("cell A():\n  return x\n")
    two.write_text("cell A():\n    return x\n")
    one.chmod(0o640)
    results = format_paths([tmp_path, one])
    assert [(r.path, r.changed) for r in results] == [(two, False), (one, True)]
    assert one.read_text() == "cell A():\n    return x\n"
    assert one.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["deep", "one.rnn"]


def test_check_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.rnn"
    path.write_text("cell A():\n  return x\n")
    (result,) = format_paths([path], check=True)
    assert result.changed
    assert path.read_text() == "cell A():\n  return x\n"


def test_a_file_with_a_mistake_is_left_alone(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.rnn", tmp_path / "bad.rnn"
    good.write_text("cell A():\n  return x\n")
    bad.write_bytes(b"cell A(:\n  return x\n")
    first, second = format_paths([bad, good])
    assert first.error is not None and not first.changed
    assert second.changed
    assert bad.read_bytes() == b"cell A(:\n  return x\n"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.rnn", tmp_path / "link.rnn"
    target.write_text("cell A():\n  return x\n")
    link.symlink_to(target)
    format_paths([link])
    assert link.is_symlink()
    assert target.read_text() == "cell A():\n    return x\n"
