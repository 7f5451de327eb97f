"""The parser: trees, spans, layout, limits; and never anything but RnndslError."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rnndsl.parsing.parser
from rnndsl import syntax as s
from rnndsl.diagnostics import Diagnostic, RnndslError
from rnndsl.parsing.layout import MAX_DEPTH, MAX_TOKENS
from rnndsl.parsing.parser import MAX_ERRORS, parse_file
from rnndsl.parsing.reading import MAX_BYTES, read_source
from rnndsl.source import Source

NAME = "test.rnn"


def parse(text: str) -> s.File:
    return parse_file(Source(NAME, text))


def body(*lines: str) -> tuple[s.Statement, ...]:
    return parse("cell A(D):\n" + "".join(f"    {line}\n" for line in lines)).cells[0].body


def expr(text: str) -> s.Expr:
    (statement,) = body(f"return {text}")
    assert isinstance(statement, s.Return)
    return statement.value


def show(e: s.Expr) -> str:
    """An expression with all its brackets."""
    match e:
        case s.Binary():
            return f"({show(e.left)} {e.op} {show(e.right)})"
        case s.Unary():
            return f"({e.op} {show(e.operand)})"
        case s.Conditional(orelse=None):
            return f"({show(e.value)} if {show(e.test)})"
        case s.Conditional():
            assert e.orelse is not None
            return f"({show(e.value)} if {show(e.test)} else {show(e.orelse)})"
        case s.Number():
            return e.text
        case s.Name():
            return e.name + "'" * e.primed
        case s.Attribute():
            return f"{show(e.base)}.{e.name}" + "'" * e.primed
        case s.Index():
            return f"{show(e.base)}[{show(e.index)}]"
    return type(e).__name__


def mistakes(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(RnndslError) as caught:
        parse(text)
    return caught.value.diagnostics


def marked(text: str) -> list[tuple[str, str]]:
    """Each mistake's code and the text under its caret."""
    spans = [(d.code, d.span) for d in mistakes(text)]
    return [(code, text[span.start : span.end]) for code, span in spans if span]


# ------------------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a * b @ c / d", "(((a * b) @ c) / d)"),
        ("-a ** 2", "(- (a ** 2))"),
        ("a ** b ** c", "(a ** (b ** c))"),
        ("2 ** -a", "(2 ** (- a))"),
        ("-a * b", "((- a) * b)"),
        ("a + b < c * d", "((a + b) < (c * d))"),
        ("not a < b and c or d", "(((not (a < b)) and c) or d)"),
        ("a if p else b if q else c", "(a if p else (b if q else c))"),
        ("a or b if p and q else c", "((a or b) if (p and q) else c)"),
        ("k.c' * h'", "(k.c' * h')"),
        ("k.y[l + 1]", "k.y[(l + 1)]"),
        ("y[l][m].z", "y[l][m].z"),
        ("(a + b) * c", "((a + b) * c)"),
    ],
)
def test_operators_bind_as_in_mathematics(text: str, shown: str) -> None:
    assert show(expr(text)) == shown


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("0.5", 0.5), ("1e-3", 0.001), ("2E5", 2e5), ("inf", float("inf")), ("007", 7)],
)
def test_numbers_keep_value_and_spelling(text: str, value: float) -> None:
    number = expr(text)
    assert isinstance(number, s.Number)
    assert (number.value, number.text, type(number.value)) == (value, text, type(value))


def test_a_call_has_a_shape_positional_and_named_arguments() -> None:
    call = expr("linear[H](x, h if l == 0, bias = -2, name = gate,)")
    assert isinstance(call, s.Call)
    assert call.dims is not None and [show(d) for d in call.dims] == ["H"]
    assert [(a.name, show(a.value)) for a in call.arguments] == [
        ("", "x"),
        ("", "(h if (l == 0))"),
        ("bias", "(- 2)"),
        ("name", "gate"),
    ]


def test_a_cell_is_called_with_sizes_and_then_with_inputs() -> None:
    call = expr("LSTM(D + H, hyper = 3)(concat(x, h))")
    assert isinstance(call, s.CellCall)
    assert call.cell.name == "LSTM"
    assert [(a.name, show(a.value)) for a in call.sizes] == [("", "(D + H)"), ("hyper", "3")]
    assert [show(a.value) for a in call.arguments] == ["Call"]


def test_brackets_before_a_call_are_a_shape_and_otherwise_an_index() -> None:
    call = expr("f[l](x)")
    assert isinstance(call, s.Call) and call.dims is not None
    assert isinstance(expr("f[l]"), s.Index)
    empty = expr("zeros[]()")
    assert isinstance(empty, s.Call) and empty.dims == ()


def test_holes() -> None:
    choice = expr("?gate(a | b + c | ?(d))")
    assert isinstance(choice, s.Hole)
    assert (choice.name, [show(o) for o in choice.options]) == ("gate", ["a", "(b + c)", "Hole"])
    called = expr("?(tanh | relu)(x)")
    assert isinstance(called, s.Call) and isinstance(called.callee, s.Hole)
    grown = expr("?expr(x, h, depth = 3)")
    assert isinstance(grown, s.GeneratedHole)
    assert (grown.name, [a.name for a in grown.arguments]) == ("", ["", "", "depth"])
    named = expr("?g:expr(x)")
    assert isinstance(named, s.GeneratedHole) and named.name == "g"


def test_texts_hold_anything_but_quotes_and_line_breaks() -> None:
    text = expr('"ij,j->i # é"')
    assert isinstance(text, s.Text) and text.value == "ij,j->i # é"


# -------------------------------------------------------------------------- statements


def test_declarations() -> None:
    x, h, m, w, v = body(
        "input x: []",
        "state h: [H]",
        "state m: [2 * H, D,] = -inf",
        "param W: [H, D] = orthogonal(1) frozen",
        "param v: [D]",
    )
    assert isinstance(x, s.Input) and x.shape == ()
    assert isinstance(h, s.State) and h.init is None
    assert isinstance(m, s.State) and m.init is not None and len(m.shape) == 2
    assert isinstance(w, s.Param) and w.frozen and isinstance(w.init, s.Call)
    assert isinstance(v, s.Param) and not v.frozen and v.init is None


def test_a_range_is_not_a_decimal_point() -> None:
    (loop,) = body("for l in 0..5:", "    y = x")
    assert isinstance(loop, s.For)
    assert (show(loop.start), show(loop.stop), loop.variable) == ("0", "5", "l")
    (loop,) = body("for l in depth - 1..2 * depth:", "    y = x")
    assert isinstance(loop, s.For)
    assert (show(loop.start), show(loop.stop)) == ("(depth - 1)", "(2 * depth)")


def test_elif_is_an_if_in_the_else_block() -> None:
    chain = body("if a:", "    y = x", "elif b:", "    y = z", "else:", "    y = w")
    nested = body(
        "if a:", "    y = x", "else:", "    if b:", "        y = z", "    else:", "        y = w"
    )
    assert chain == nested
    (first,) = chain
    assert isinstance(first, s.If) and isinstance(first.orelse[0], s.If)


def test_a_file_has_a_version_imports_cells_and_spaces() -> None:
    file = parse(
        'rnndsl 1\nfrom "a.rnn" import A, B\nfrom "b.rnn" import (\n  C,\n)\n'
        "cell X(D, depth = 5):\n    return x\nspace Y():\n    return y\n"
    )
    assert file.version == 1
    assert [(i.path, i.names) for i in file.imports] == [("a.rnn", ("A", "B")), ("b.rnn", ("C",))]
    assert [(c.name, c.is_space) for c in file.cells] == [("X", False), ("Y", True)]
    assert [(p.name, p.default and show(p.default)) for p in file.cells[0].parameters] == [
        ("D", None),
        ("depth", "5"),
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "   \n\t\n", "\ufeff"[:0]])
def test_a_file_may_be_empty(text: str) -> None:
    assert parse(text).cells == ()


# ------------------------------------------------------------------------------ layout


@pytest.mark.parametrize(
    "text",
    [
        "cell A(D):\n  input x: [D]\n  return x",
        "cell A(D):\r\n\tinput x: [D]\r\n\r\n\treturn x\r\n",
        "cell A(\n  D\n):\n    input x: [\nD]\n# comment\n\n    return (\nx)\n\n",
        "# c\ncell A(D): # c\n# c\n  # c\n  input x: [D] # c\n        # c\n  return x#c\n# c",
        "cell A(D):\n   \n    input x: [D]\n  \n    return x\n    ",
    ],
)
def test_layout_varies_and_the_tree_does_not(text: str) -> None:
    assert parse(text) == parse("cell A(D):\n    input x: [D]\n    return x\n")


def test_every_span_covers_its_own_text() -> None:
    text = "cell A(D):\n    y = f( a + b ,\n  c)  # note\n    return  (y) * k.c'\n"
    cell = parse(text).cells[0]

    def of(node: s.Expr | s.Statement | s.Argument | s.CellDefinition) -> str:
        span = node.span
        assert span.file == NAME
        return text[span.start : span.end]

    first, last = cell.body
    assert isinstance(first, s.Assign) and isinstance(last, s.Return)
    assert isinstance(first.value, s.Call) and isinstance(last.value, s.Binary)
    assert of(cell) == text[: text.rindex("'") + 1]
    assert of(first) == "y = f( a + b ,\n  c)"
    assert of(first.target) == "y"
    assert [of(a) for a in first.value.arguments] == ["a + b", "c"]
    assert of(last) == "return  (y) * k.c'"
    assert (of(last.value), of(last.value.left), of(last.value.right)) == (
        "(y) * k.c'",
        "y",
        "k.c'",
    )


def test_comments_keep_their_places() -> None:
    text = "# one\ncell A(): # two\n    return x\n  # three"
    assert parse(text).comments == (
        (0, "# one", True),
        (text.index("# two"), "# two", False),
        (text.index("# three"), "# three", True),
    )


# ---------------------------------------------------------------------------- mistakes


def test_what_is_missing_at_the_end_is_shown_on_the_last_word() -> None:
    assert marked("cell A():\n    return x +\n") == [("E0101", "+")]
    assert marked("cell A():\n    y = x\n    return") == [("E0101", "return")]


def test_reading_goes_on_after_a_mistake() -> None:
    text = (
        "cell A(D:\n    input x [D]\n    y = = x\n    for l in 0..3:\n        z = a b\n"
        "    return y\n\ncel B():\n    return x x\n"
    )
    assert [code for code, _ in marked(text)] == ["E0105", *["E0101"] * 5]


def test_one_broken_line_is_one_mistake() -> None:
    for line in ("y = a b c d", "y = ((a", "for l in 0..3", "y = a $ b", "if a", "k.c = 3"):
        text = f"cell A():\n    x = 1\n    {line}\n        z = 2\n    return x\n"
        assert len(mistakes(text)) <= 2
    nested = (
        "cell A():\n    if a\n        y = 1\n    elif b:\n        y = 2\n    else:\n        y = 3\n"
    )
    assert [code for code, _ in marked(nested)] == ["E0111"]


def test_a_line_between_two_blocks_does_not_end_the_cell() -> None:
    text = "cell A():\n    x = 1\n  y = 2\n    z = a b\n    return x\n"
    assert [code for code, _ in marked(text)] == ["E0107", "E0101"]


def test_mistakes_come_in_the_order_of_their_places() -> None:
    found = mistakes("cell A():\n    y = 2(x)\n    return f(a = 1, b)\n")
    starts = [d.span.start for d in found if d.span]
    assert starts == sorted(starts) and len(starts) == 2


@pytest.mark.parametrize("version", ["0", "2", "10", "1.5", "1e0"])
def test_another_version_is_refused_before_anything_else(version: str) -> None:
    text = f"# note\nrnndsl {version}\n$$$ (((\n"
    assert marked(text) == [("E0112", version)]


# ------------------------------------------------------------------------------ limits


def nested(kind: str, depth: int) -> str:
    value = {
        "calls": "f(" * depth + "x" + ")" * depth,
        "parentheses": "(" * depth + "x" + ")" * depth,
        "minus": "-" * depth + "x",
        "sum": "x" + " + x" * depth,
        "power": "x" + " ** x" * depth,
        "not": "not " * depth + "x",
        "if": "x" + " if t else x" * depth,
        "attributes": "x" + ".a" * depth,
        "index": "x" + "[0]" * depth,
        "holes": "?(" * depth + "x" + ")" * depth,
    }[kind]
    return f"cell A():\n    return {value}\n"


KINDS = [
    "calls",
    "parentheses",
    "minus",
    "sum",
    "power",
    "not",
    "if",
    "attributes",
    "index",
    "holes",
]


@pytest.mark.parametrize("kind", KINDS)
def test_nesting_within_the_limit_is_read(kind: str) -> None:
    file = parse(nested(kind, MAX_DEPTH - 1))
    assert file == parse(nested(kind, MAX_DEPTH - 1))  # comparing recurses too
    assert repr(file)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, MAX_TOKENS // 5, 20_000])
def test_nesting_beyond_the_limit_is_a_mistake(kind: str, depth: int) -> None:
    assert {d.code for d in mistakes(nested(kind, depth))} <= {"E0109", "E0117"}


def test_blocks_nest_within_a_limit() -> None:
    def blocks(depth: int) -> str:
        lines = [" " * k + "if a:" for k in range(1, depth + 1)]
        return "\n".join(["cell A():", *lines, " " * (depth + 1) + "y = x"]) + "\n"

    parse(blocks(MAX_DEPTH - 2))
    assert {d.code for d in mistakes(blocks(MAX_DEPTH + 1))} == {"E0109"}


def test_reading_stops_after_many_mistakes() -> None:
    found = mistakes("cell A():\n" + "    y = a b\n" * 5000)
    assert len(found) == MAX_ERRORS


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.rnn"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(RnndslError, match="too large"):
        read_source(path)
    with pytest.raises(RnndslError, match="too large"):
        parse("#" * (MAX_BYTES + 1))
    path.write_bytes(b"#" * MAX_BYTES)
    assert parse_file(read_source(path)).cells == ()


# ------------------------------------------------------------------------------- files


def test_unreadable_files_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "lstm.rnn").write_text("")
    cases = {
        tmp_path: "folder",
        tmp_path / "none.rnn": "no such file",
        tmp_path / "a\0b": "null",
        tmp_path / ("x" * 300): "too long",
        tmp_path / "lstm.rnn" / "x": "not a directory",
    }
    for path, reason in cases.items():
        with pytest.raises(RnndslError, match=reason) as caught:
            read_source(path)
        assert caught.value.diagnostics[0].code == "E0120"
    with pytest.raises(RnndslError) as caught:
        read_source(tmp_path / "lstn.rnn")
    # A long folder makes the line break.
    assert f"did you mean `{tmp_path / 'lstm.rnn'}`?" in " ".join(str(caught.value).split())


def test_bytes_that_are_not_utf8_are_located(tmp_path: Path) -> None:
    path = tmp_path / "bad.rnn"
    path.write_bytes("# é\n".encode() + b"ab\xe9c\n")
    with pytest.raises(RnndslError) as caught:
        read_source(path)
    assert f"({path}:2:3)" in str(caught.value)
    assert "byte 0xe9, number 8 of the file" in str(caught.value)


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "bom.rnn"
    path.write_bytes(b"\xef\xbb\xbfcell A():\n    return x\n")
    assert parse_file(read_source(path)).cells[0].name == "A"


# ---------------------------------------------------------------------------- robustness

_TOKENS = """
    cell space input state param frozen for in if elif else return or and not inf rnndsl from import
    A x h' 0 1.5 .. . ( ) [ ] ? : , | = == <= + - * ** / @ " ' # $ é 1. .5 += expr
"""
_SPACES = ("\n", "\n    ", "\n        ", "\r\n", "\t", " ", "\0", "\x0c", "\u2028")
_WORDS = (*_TOKENS.split(), *_SPACES)
_GOOD = (
    "rnndsl 1\n# note\ncell A(D, n = 2):\n    input x: [D]\n    state h: [D] = 0\n"
    "    for l in 0..n:\n        y = f[D](x, h if l == 0, name = a)  # note\n"
    "    if n == 1:\n        z = ?(a | b)(x)\n    else:\n        z = L(D)(x).c'\n    return z\n"
)


def only_mistakes(text: str) -> None:
    """Reads or raises RnndslError whose text renders; anything else fails."""
    try:
        parse(text)
    except RnndslError as error:
        assert error.diagnostics
        assert str(error).encode("utf-8")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=60))
@example("\ud800")
@example("cell A():\n    return \ud800x\n")
@example("\r")
@example("cell A():\r    return x")
def test_any_text_is_read_or_refused(text: str) -> None:
    only_mistakes(text)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(_WORDS), max_size=40).map(" ".join))
def test_any_words_are_read_or_refused(text: str) -> None:
    only_mistakes(text)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, len(_GOOD)), st.integers(0, 12), st.sampled_from(_WORDS)),
        min_size=1,
        max_size=4,
    )
)
def test_any_damaged_file_is_read_or_refused(cuts: list[tuple[int, int, str]]) -> None:
    text = _GOOD
    for at, length, word in cuts:
        text = text[:at] + word + text[at + length :]
    only_mistakes(text)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.rnn"
    path.write_bytes(data)
    try:
        parse_file(read_source(path))
    except RnndslError as error:
        assert str(error)


# ----------------------------------------------------------------------------- grammar


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    # Lark resolves a shift/reduce conflict in silence, and not always as meant.
    from lark import Lark, logger

    def conflicts(grammar: str, start: str) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger=logger.name):
            Lark(grammar, start=start, parser="lalr", debug=True)
        return [r.message for r in caplog.records if "conflict" in r.message.lower()]

    text = (
        Path(rnndsl.parsing.parser.__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    )
    handlers, level = list(logger.handlers), logger.level
    logger.propagate = True
    try:
        assert conflicts('a: "x" | a "x" a', "a"), "conflicts are seen"
        assert not conflicts(text, "file")
    finally:
        logger.handlers[:], logger.level = handlers, level


def test_lark_loads_only_when_something_is_parsed() -> None:
    code = "import sys, rnndsl, rnndsl.diagnostics, rnndsl.formatting.formatter, rnndsl.parsing.reading;"
    code += "assert not {'lark', 'torch', 'tvm', 'networkx', 'optuna', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
