"""Graph text reads back to the same graph; malformed text is refused with its line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.ir import (
    AttrValue,
    Graph,
    Leaf,
    LeafRole,
    Node,
    Result,
    ResultRole,
    Type,
)
from rnndsl.compiler.text import GraphTextError, parse_graph, parse_graphs, print_graph
from rnndsl.dims import Dim, dim
from rnndsl.source import Span
from tests.compiler.make import lstm
from tests.compiler.random_graphs import graphs

names = st.one_of(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.']{0,8}", fullmatch=True), st.text())
factors = st.sampled_from(["D", "H", "N", "head_size"])


@st.composite
def dims(draw: st.DrawFn) -> Dim:
    total = dim(draw(st.integers(-3, 9)))
    for _ in range(draw(st.integers(0, 3))):
        term = dim(draw(st.integers(-4, 4)))
        for _ in range(draw(st.integers(0, 3))):
            term = term * dim(draw(factors))
        if draw(st.booleans()):
            term = term / dim(draw(factors))
        total = total + term / dim(draw(st.integers(1, 3)))
    return total


attr_values: st.SearchStrategy[AttrValue] = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.just(math.nan),
    st.text(),
    st.lists(st.integers()).map(tuple),
    st.lists(st.text()).map(tuple),
    st.lists(dims()).map(tuple),
)
spans = st.one_of(
    st.none(), st.builds(Span, st.text(min_size=1), st.integers(0, 99), st.integers(0, 99))
)
types = st.builds(Type, st.lists(dims(), max_size=3).map(tuple), st.booleans())


@st.composite
def any_graph(draw: st.DrawFn) -> Graph:
    """A graph of any form, well typed or not."""
    leaves = draw(st.lists(st.builds(Leaf, names, st.sampled_from(LeafRole), types, spans)))
    nodes: list[Node] = []
    for _ in range(draw(st.integers(0, 4))):
        count = len(leaves) + len(nodes)
        operands = draw(st.lists(st.integers(0, count - 1), max_size=3)) if count else []
        op = draw(st.sampled_from(["add", "contract", "full", "reduce_sum"]))
        attrs = draw(st.dictionaries(st.sampled_from("abc"), attr_values))
        made = Node(op, tuple(operands), tuple(sorted(attrs.items())), draw(types))
        nodes.append(Node(made.op, made.operands, made.attrs, made.type, draw(names), draw(spans)))
    results = []
    if leaves or nodes:
        value = st.integers(0, len(leaves) + len(nodes) - 1)
        results = draw(st.lists(st.builds(Result, names, st.sampled_from(ResultRole), value)))
    return Graph(draw(names), tuple(leaves), tuple(nodes), tuple(results))


@settings(max_examples=200, deadline=None)
@given(any_graph())
def test_text_of_any_graph_reads_back(graph: Graph) -> None:
    text = print_graph(graph)
    assert parse_graph(text) == graph
    assert print_graph(parse_graph(text)) == text


@settings(max_examples=50, deadline=None)
@given(any_graph())
def test_spans_read_back(graph: Graph) -> None:
    read = parse_graph(print_graph(graph, spans=True))
    assert read == graph
    assert [leaf.span for leaf in read.leaves] == [leaf.span for leaf in graph.leaves]
    assert [node.span for node in read.nodes] == [node.span for node in graph.nodes]


@settings(max_examples=25, deadline=None)
@given(graphs(), graphs(derived=True))
def test_random_graphs_read_back(step: Graph, unseparated: Graph) -> None:
    assert parse_graphs(print_graph(step) + print_graph(unseparated)) == (step, unseparated)


def test_bound_and_unbound_graphs_read_back() -> None:
    for graph in (lstm(), lstm().bind({"D": 3}), lstm().bind({"D": 3, "H": 5})):
        backward = differentiate(graph).backward
        assert parse_graph(print_graph(graph)) == graph
        assert parse_graph(print_graph(backward)) == backward


def test_text_tells_kinds_of_numbers_apart() -> None:
    def text(value: AttrValue) -> str:
        node = Node("full", (), (("value", value),), Type((), False))
        return print_graph(Graph("g", (), (node,), ()))

    values: tuple[AttrValue, ...] = (1, 1.0, True, 0.0, -0.0, math.inf, -math.inf, math.nan, "1")
    assert len({text(value) for value in values}) == len(values)
    for value in values:
        read = parse_graph(text(value)).nodes[0].attr("value")
        assert type(read) is type(value)
        assert repr(read) == repr(value)


def test_values_are_named_by_index_and_leaves_by_name() -> None:
    lines = print_graph(lstm()).splitlines()
    assert lines[0] == "graph lstm {"
    assert '  %15: batch[H] = contract(i.x.weight, x) {spec="ij,j->i", sum_batch=false}' in lines
    assert "  %19 i: batch[H] = sigmoid(%18)" in lines
    assert lines[-2:] == ["  state c = %37", "}"]


HEAD = "graph g {\n  input x: batch[H]\n"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "expected one graph, found 0"),
        ("graf g {\n}\n", 1, "expected `graph NAME {`, found `graf g {`"),
        (HEAD, 3, "graph `g` has no closing brace"),
        (HEAD + "  %1 batch[H] = neg(x)\n}\n", 3, "not a leaf, a node or a result"),
        (HEAD + "  %1: batch[H] = neg(z)\n}\n", 3, "`z` is not defined above"),
        (HEAD + "  %1: batch[H] = neg(%2)\n  %2: batch[H] = neg(x)\n}\n", 3, "`%2` is not"),
        (HEAD + "  %1: batch[H] = neg(x)\n  %1: batch[H] = neg(x)\n}\n", 4, "defined twice"),
        (HEAD + "  state x: batch[H]\n}\n", 3, "`x` is defined twice"),
        (HEAD + "  output y = z\n}\n", 3, "`z` is not defined above"),
        (HEAD + "  output y = x\n  %1: batch[H] = neg(x)\n}\n", 4, "stands below a result"),
        (HEAD + "  output y = x\n  input z: batch[]\n}\n", 4, "stands below a node or a result"),
        (HEAD + "  %1: batch[H +] = neg(x)\n}\n", 3, "not a dimension: `H +`"),
        (HEAD + "  %1: batch[H,] = neg(x)\n}\n", 3, "a dimension is missing"),
        (HEAD + "  %1: batch[H/0] = neg(x)\n}\n", 3, "cannot divide"),
        (HEAD + "  %1: batch[H] = roll(x) {axis=zero}\n}\n", 3, "not an attribute value: `zero`"),
        (HEAD + "  %1: batch[H] = roll(x) {axis}\n}\n", 3, "not an attribute: `axis`"),
        (HEAD + '  %1 "\\q": batch[H] = neg(x)\n}\n', 3, "not a string"),
    ],
)
def test_malformed_text_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(GraphTextError) as caught:
        parse_graph(text)
    assert caught.value.line == line
    assert reason in caught.value.reason


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2000), st.characters(), st.booleans())
def test_damaged_text_never_fails_in_another_way(place: int, letter: str, insert: bool) -> None:
    text = print_graph(lstm())
    place %= len(text)
    damaged = text[:place] + letter + text[place + (0 if insert else 1) :]
    try:
        read = parse_graph(damaged)
    except GraphTextError as error:
        assert 1 <= error.line <= damaged.count("\n") + 1
    else:
        assert parse_graph(print_graph(read)) == read
