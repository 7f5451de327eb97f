"""A graph as comparison and statistics see it: what each value is made of, closed over states.

Vertices are values; sums, products and extrema of several terms are one vertex each, and a
state is made of its next value and its first.  Dead code is left out: only what the outputs
depend on, now or at a later step, is there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole, Type
from rnndsl.compiler.op_types import parse_spec
from rnndsl.compiler.text_values import attrs_text, type_text

NEXT, START = "next", "start"  # the tags of what a state is made of


@dataclass(slots=True)
class CellStructure:
    """Labelled vertices and tagged edges to what each is made of.

    ``kinds`` are op names (``add``, ``mul``, ``max`` and ``min`` for whole chains), ``input``,
    ``state``, ``param`` and ``output``; labels say more.  Outputs have negative numbers.
    """

    kinds: dict[int, str] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    parts: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    types: dict[int, Type] = field(default_factory=dict)


# Chains of these are one sum, product or extremum: their terms have no order.
_CHAINS = {"add": "add", "sub": "add", "neg": "add", "mul": "mul", "max": "max", "min": "min"}
_UNORDERED = {"eq", "ne"}


def cell_structure(graph: Graph) -> CellStructure:
    """The part of a simplified graph that its outputs depend on, through the states as well."""
    made = CellStructure()
    live = _live(graph)
    uses = Counter(v for value, node in graph.node_values() if value in live for v in node.operands)
    uses.update(r.value for r in graph.results if r.value in live)
    inputs = [leaf.name for leaf in graph.leaves_of(LeafRole.INPUT)]
    after = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    start = {r.name: r.value for r in graph.results_of(ResultRole.VALUE)}
    pending = []
    for place, result in enumerate(graph.results_of(ResultRole.OUTPUT)):
        made.kinds[-1 - place] = "output"
        made.labels[-1 - place] = f"output {place}"
        made.parts[-1 - place] = [("", result.value)]
        made.types[-1 - place] = graph.type_of(result.value)
        pending.append(result.value)
    while pending:
        value = pending.pop()
        if value in made.labels:
            continue
        entry = graph.definition(value)
        if isinstance(entry, Node):
            chain = _CHAINS.get(entry.op)
            kind = chain or entry.op
            label = kind if chain or kind == "contract" else f"{kind} {attrs_text(entry.attrs)}"
            parts = _terms(graph, uses, value, chain) if chain else _operands(entry)
        else:
            kind = entry.role.value
            place_text = f" {inputs.index(entry.name)}" if entry.role is LeafRole.INPUT else ""
            label = kind + place_text
            parts = _state_parts(entry, after, start)
        made.kinds[value] = kind
        made.labels[value] = f"{label}: {type_text(entry.type)}"
        made.parts[value] = parts
        made.types[value] = entry.type
        pending.extend(part for _, part in parts)
    return made


def _live(graph: Graph) -> set[int]:
    """The values that an output depends on, now or at a later step."""
    after = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    after |= {f"{START} {r.name}": r.value for r in graph.results_of(ResultRole.VALUE)}
    live: set[int] = set()
    pending = [result.value for result in graph.results_of(ResultRole.OUTPUT)]
    while pending:
        value = pending.pop()
        if value in live:
            continue
        live.add(value)
        entry = graph.definition(value)
        if isinstance(entry, Node):
            pending.extend(entry.operands)
        elif entry.role is LeafRole.STATE:
            names = (entry.name, f"{START} init.{entry.name}")
            pending.extend(after[name] for name in names if name in after)
    return live


def _operands(node: Node) -> list[tuple[str, int]]:
    if node.op == "contract":
        left, right, output = parse_spec(node.attr("spec"))
        tags = [_spec_from(left, right, output), _spec_from(right, left, output)]
        return list(zip(tags, node.operands, strict=True))
    ordered = node.op not in _UNORDERED
    return [(str(place) if ordered else "", v) for place, v in enumerate(node.operands)]


def _spec_from(own: str, other: str, output: str) -> str:
    """A contraction as one of its operands sees it, with letters in order of appearance."""
    names = {letter: chr(ord("a") + k) for k, letter in enumerate(dict.fromkeys(own + other))}
    return ",".join("".join(names[c] for c in part) for part in (own, other, output))


def _state_parts(leaf: Leaf, after: dict[str, int], start: dict[str, int]) -> list[tuple[str, int]]:
    if leaf.role is not LeafRole.STATE:
        return []
    parts = [(NEXT, after[leaf.name])]
    if f"init.{leaf.name}" in start:
        parts.append((START, start[f"init.{leaf.name}"]))
    return parts


def _terms(graph: Graph, uses: Counter[int], value: int, chain: str) -> list[tuple[str, int]]:
    """The terms of a chain: through inner links that nothing else uses.  Tags are signs."""
    terms: list[tuple[str, int]] = []
    pending = [("", value)]
    while pending:
        sign, term = pending.pop()
        entry = graph.definition(term)
        inner = isinstance(entry, Node) and _CHAINS.get(entry.op) == chain
        if not (inner and isinstance(entry, Node) and (term == value or uses[term] == 1)):
            terms.append((sign, term))
            continue
        flipped = "" if sign else "-"
        signs = {"sub": (sign, flipped), "neg": (flipped,)}.get(entry.op, (sign, sign))
        pending.extend(zip(signs, entry.operands, strict=True))
    return terms
