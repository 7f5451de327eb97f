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
from collections.abc import Iterator

from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, Result, ResultRole, Type
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
    rf'\(((?:[^")]|{_QUOTED})*)\)(?:\s*\{{((?:[^"}}]|{_QUOTED})*)\}})?{_COMMENT}',
    re.ASCII,
)
_RESULT = re.compile(
    rf"\s*(output|state|sum|value)\s+{_NAME}\s*=\s*(?:{_LABEL}|{_NAME}){_COMMENT}", re.ASCII
)
_END = re.compile(rf"\s*\}}{_COMMENT}")
_BLANK = re.compile(r"\s*(?:#.*)?")
_SPAN = re.compile(r"\s*(.+):(\d+)-(\d+)\s*")
_ITEM = re.compile(rf"\s*((?:[^\",]|{_QUOTED})+)\s*(?:,|$)")
_ATTR = re.compile(
    rf"\s*(\w+)\s*=\s*({_QUOTED}|\((?:[^\")]|{_QUOTED})*\)|\[[^\]]*\]|[^,\s]+)\s*(,|$)"
)
_TERM = re.compile(r"\s*([+-]?)\s*(\w+(?:\s*[*/]\s*\w+)*)\s*", re.ASCII)
_ROLES = {role.value: role for role in LeafRole}
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
    lines = enumerate(text.splitlines(), start=1)
    graphs = []
    for number, line in lines:
        if _BLANK.fullmatch(line):
            continue
        match = _HEAD.fullmatch(line)
        if match is None:
            raise GraphTextError(number, f"expected `graph NAME {{`, found `{line.strip()}`")
        graphs.append(_Reader(_unquote(match[1], number)).read(lines, number))
    return tuple(graphs)


class _Reader:
    """Reads the lines of one graph, from the one after its head to its closing brace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.leaves: list[Leaf] = []
        self.nodes: list[Node] = []
        self.results: list[Result] = []
        self.values: dict[str, int] = {}  # what can be referred to: labels and leaf names

    def read(self, lines: Iterator[tuple[int, str]], start: int) -> Graph:
        number = start
        for number, line in lines:
            # Nodes are by far the most frequent lines.
            if match := _NODE.fullmatch(line):
                self.node(match, number)
            elif match := _RESULT.fullmatch(line):
                self.result(match, number)
            elif match := _LEAF.fullmatch(line):
                self.leaf(match, number)
            elif _END.fullmatch(line):
                return Graph(self.name, tuple(self.leaves), tuple(self.nodes), tuple(self.results))
            elif not _BLANK.fullmatch(line):
                raise GraphTextError(number, f"not a leaf, node or result: `{line.strip()}`")
        raise GraphTextError(number, "the graph has no closing `}`")

    def leaf(self, match: re.Match[str], line: int) -> None:
        role, name, kind, label, comment = match.groups()
        if self.nodes or self.results:
            raise GraphTextError(line, f"leaf `{name}` stands after a node or a result")
        self.define(label or _unquote(name, line), len(self.leaves), line)
        self.leaves.append(
            Leaf(_unquote(name, line), _ROLES[role], _type(kind, line), _span(comment))
        )

    def node(self, match: re.Match[str], line: int) -> None:
        label, name, kind, op, operands, attrs, comment = match.groups()
        if self.results:
            raise GraphTextError(line, f"node `{label}` stands after a result")
        self.nodes.append(
            Node(
                op,
                self.operands(operands, line),
                _attrs(attrs, line) if attrs else (),
                _type(kind, line),
                _unquote(name, line) if name else "",
                _span(comment),
            )
        )
        self.define(label, len(self.leaves) + len(self.nodes) - 1, line)

    def result(self, match: re.Match[str], line: int) -> None:
        role, name, label, leaf, _ = match.groups()
        value = self.value(label or _unquote(leaf, line), line)
        self.results.append(Result(_unquote(name, line), _RESULT_ROLES[role], value))

    def define(self, key: str, value: int, line: int) -> None:
        if key in self.values:
            raise GraphTextError(line, f"`{key}` is defined twice")
        self.values[key] = value

    def value(self, key: str, line: int) -> int:
        if key not in self.values:
            raise GraphTextError(line, f"`{key}` is not defined above")
        return self.values[key]

    def operands(self, text: str, line: int) -> tuple[int, ...]:
        if not text.strip():
            return ()
        if '"' in text:
            keys = [_unquote(key.strip(), line) for key in _ITEM.findall(text)]
        else:
            keys = [key.strip() for key in text.split(",")]
        return tuple([self.value(key, line) for key in keys])


def _unquote(text: str, line: int) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        raise GraphTextError(line, f"not a string: `{text}`") from None


def _span(comment: str | None) -> Span | None:
    match = _SPAN.fullmatch(comment) if comment else None
    return Span(match[1].strip(), int(match[2]), int(match[3])) if match else None


def _type(text: str, line: int) -> Type:
    try:
        return _cached_type(text)
    except ValueError as error:
        raise GraphTextError(line, str(error)) from None


@lru_cache(maxsize=4096)
def _cached_type(text: str) -> Type:
    kind, _, shape = text.partition("[")
    return Type(_dims(shape[:-1]), kind == "batch")


def _attrs(text: str, line: int) -> Attrs:
    try:
        return _cached_attrs(text)
    except ValueError as error:
        raise GraphTextError(line, str(error)) from None


@lru_cache(maxsize=4096)
def _cached_attrs(text: str) -> Attrs:
    attrs: list[tuple[str, AttrValue]] = []
    position = 0
    while position < len(text):
        match = _ATTR.match(text, position)
        if match is None:
            raise ValueError(f"not an attribute: `{text[position:].strip()}`")
        attrs.append((match[1], _attr(match[2])))
        position = match.end()
    return tuple(attrs)


def _attr(text: str) -> AttrValue:
    if text.startswith("["):
        return _dims(text[1:-1])
    if text.startswith("("):
        items = [item.strip() for item in _ITEM.findall(text[1:-1]) if item.strip()]
        return tuple(_attr(item) for item in items)  # type: ignore[return-value]
    if text.startswith('"'):
        return str(json.loads(text))
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"not an attribute value: `{text}`") from None
    # One not-a-number object: tuples that hold the same object compare equal.
    return math.nan if math.isnan(value) else value


def _dims(text: str) -> tuple[Dim, ...]:
    return tuple(_dim(part) for part in text.split(",")) if text.strip() else ()


@lru_cache(maxsize=4096)
def _dim(text: str) -> Dim:
    total = dim(0)
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or (position and not match[1]):
            raise ValueError(f"not a dimension: `{text.strip()}`")
        term = dim(1)
        for operator, factor in re.findall(r"([*/]?)\s*(\w+)", match[2]):
            length = dim(int(factor) if factor.isdigit() else factor)
            term = term / length if operator == "/" else term * length
        total = total - term if match[1] == "-" else total + term
        position = match.end()
    if not text.strip():
        raise ValueError("a dimension is missing")
    return total
