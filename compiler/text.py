"""Graph to text and text to graph; the two are exact inverses.

One line per leaf, node and result::

    graph rnn {
      input x: batch[D]
      state h: batch[H]
      param W: shared[H, D]
      %3: batch[H] = contract(W, x) {spec="ij,j->i", sum_batch=false}
      %4: batch[H] = add(%3, h)
      %5 h': batch[H] = tanh(%4)  # rnn.rnn:120-133
      output y = %5
      state h = %5
    }

A value is written ``%k``, where k is its index in the graph; a leaf is written by its name.
After the ``%k`` of a node stands the name that the value has in the user's file, if any.
Two leaves of one name (they differ in role) are written by index: ``input y: batch[] as %0``.
A name that is not a word with dots and primes is written in double quotes, as in JSON.
Attributes keep their kind: ``1`` is an int, ``1.0`` a float, ``(1, 2)`` ints, ``["a"]``
does not exist (strings are ``("a", "b")``) and ``[D, 4*H]`` are dimensions.
A trailing comment ``# file:start-end`` is the span of the value, in characters.
"""

from __future__ import annotations

import re

from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, Result, ResultRole
from rnndsl.compiler.text_values import (
    QUOTED,
    WORD,
    attrs_text,
    name_text,
    parse_attrs,
    parse_name,
    parse_span,
    parse_type,
    span_text,
    split_items,
    type_text,
)


class GraphTextError(ValueError):
    """The text is not a graph: ``line`` counts from 1, ``reason`` says what is wrong there."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def print_graph(graph: Graph, spans: bool = False) -> str:
    """The text of a graph, ending in a line break; ``spans`` adds the places in the source.

    Equal graphs have equal texts (spans left out), so the text serves as a cache key.
    """
    lines = [f"graph {name_text(graph.name)} {{"]
    refs = _leaf_refs(graph)
    for leaf, ref in zip(graph.leaves, refs, strict=True):
        label = f" as {ref}" if ref.startswith("%") else ""
        place = span_text(leaf.span) if spans else ""
        kind = type_text(leaf.type)
        lines.append(f"  {leaf.role.value} {name_text(leaf.name)}: {kind}{label}{place}")
    refs.extend(f"%{value}" for value, _ in graph.node_values())
    for value, node in graph.node_values():
        name = f" {name_text(node.name)}" if node.name else ""
        call = f"{node.op}({', '.join([refs[operand] for operand in node.operands])})"
        attrs = f" {{{attrs_text(node.attrs)}}}" if node.attrs else ""
        place = span_text(node.span) if spans else ""
        lines.append(f"  %{value}{name}: {type_text(node.type)} = {call}{attrs}{place}")
    for result in graph.results:
        lines.append(f"  {result.role.value} {name_text(result.name)} = {refs[result.value]}")
    lines.append("}\n")
    return "\n".join(lines)


def _leaf_refs(graph: Graph) -> list[str]:
    names = [leaf.name for leaf in graph.leaves]
    twice = {name for name in names if names.count(name) > 1}
    return [f"%{k}" if name in twice else name_text(name) for k, name in enumerate(names)]


_NAME = rf"({WORD}|{QUOTED})"
_LABEL = r"(%\w+)"
_TYPE = r"((?:batch|shared)\[[^\]]*\])"
_COMMENT = r"\s*(?:\#(.*))?"
_HEAD = re.compile(rf"\s*graph\s+{_NAME}\s*\{{{_COMMENT}", re.ASCII)
_LEAF = re.compile(
    rf"\s*(input|state|param)\s+{_NAME}\s*:\s*{_TYPE}(?:\s+as\s+{_LABEL})?{_COMMENT}", re.ASCII
)
_NODE = re.compile(
    rf"\s*{_LABEL}(?:\s+{_NAME})?\s*:\s*{_TYPE}\s*=\s*(\w+)"
    rf'\(((?:[^")]|{QUOTED})*)\)(?:\s*\{{((?:[^"}}]|{QUOTED})*)\}})?{_COMMENT}',
    re.ASCII,
)
_RESULT = re.compile(
    rf"\s*(output|state|sum|value)\s+{_NAME}\s*=\s*(%\w+|{WORD}|{QUOTED}){_COMMENT}", re.ASCII
)
_END = re.compile(rf"\s*\}}{_COMMENT}")
_BLANK = re.compile(r"\s*(?:#.*)?")
_LEAF_ROLES = {role.value: role for role in LeafRole}
_RESULT_ROLES = {role.value: role for role in ResultRole}


def parse_graph(text: str) -> Graph:
    """The graph that a text stands for; GraphTextError with the line if it is malformed.

    Only the form is checked here; :func:`rnndsl.compiler.verify.verify` checks the meaning.
    """
    graphs = parse_graphs(text)
    if len(graphs) != 1:
        raise GraphTextError(1, f"expected one graph, found {len(graphs)}")
    return graphs[0]


def parse_graphs(text: str) -> tuple[Graph, ...]:
    """All graphs of a text, in order; GraphTextError with the line if one is malformed."""
    graphs: list[Graph] = []
    reader: _Reader | None = None
    number = 0
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if reader is None:
                reader = _begin(line)
            elif reader.read(line):
                graphs.append(reader.graph())
                reader = None
        except ValueError as error:
            raise GraphTextError(number, str(error)) from None
    if reader is not None:
        raise GraphTextError(number, f"graph `{reader.name}` has no closing brace")
    return tuple(graphs)


def _begin(line: str) -> _Reader | None:
    """A reader for the graph that begins in this line; None for an empty line."""
    if _BLANK.fullmatch(line):
        return None
    match = _HEAD.fullmatch(line)
    if match is None:
        raise ValueError(f"expected `graph NAME {{`, found `{line.strip()}`")
    return _Reader(parse_name(match[1]))


class _Reader:
    """Collects the lines of one graph; ValueError says what is wrong with a line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.leaves: list[Leaf] = []
        self.nodes: list[Node] = []
        self.results: list[Result] = []
        self.values: dict[str, int] = {}  # what can be referred to: labels and leaf names

    def graph(self) -> Graph:
        return Graph(self.name, tuple(self.leaves), tuple(self.nodes), tuple(self.results))

    def read(self, line: str) -> bool:
        """Take one line; true at the closing brace."""
        # Nodes are by far the most frequent lines.
        if match := _NODE.fullmatch(line):
            self.node(match)
        elif match := _RESULT.fullmatch(line):
            role, name, value, _ = match.groups()
            self.results.append(Result(parse_name(name), _RESULT_ROLES[role], self.value(value)))
        elif match := _LEAF.fullmatch(line):
            self.leaf(match)
        elif _END.fullmatch(line):
            return True
        elif not _BLANK.fullmatch(line):
            raise ValueError(f"not a leaf, a node or a result: `{line.strip()}`")
        return False

    def leaf(self, match: re.Match[str]) -> None:
        role, name, kind, label, comment = match.groups()
        if self.nodes or self.results:
            raise ValueError(f"leaf `{name}` stands below a node or a result")
        self.define(label or name, len(self.leaves))
        self.leaves.append(
            Leaf(parse_name(name), _LEAF_ROLES[role], parse_type(kind), parse_span(comment))
        )

    def node(self, match: re.Match[str]) -> None:
        label, name, kind, op, operands, attrs, comment = match.groups()
        if self.results:
            raise ValueError(f"node `{label}` stands below a result")
        node = Node(
            op,
            tuple([self.value(key) for key in split_items(operands)]),
            parse_attrs(attrs) if attrs else (),
            parse_type(kind),
            parse_name(name) if name else "",
            parse_span(comment),
        )
        self.define(label, len(self.leaves) + len(self.nodes))
        self.nodes.append(node)

    def define(self, key: str, value: int) -> None:
        if key in self.values:
            raise ValueError(f"`{key}` is defined twice")
        self.values[key] = value

    def value(self, key: str) -> int:
        if key not in self.values:
            raise ValueError(f"`{key}` is not defined above")
        return self.values[key]
