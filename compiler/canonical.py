"""When are two cells the same?  A canonical hash of a graph, and an exact comparison.

The hash does not see the names of states, parameters or inner values,
the order in which states and parameters are declared, how parameters start, the order of
operands and terms where it does not matter, dead code, or what the ``compare`` pipeline
simplifies.  It does see the order of inputs and outputs, how states start, every shape, and
which uses of a parameter are uses of the same one.

It is colour refinement (Weisfeiler and Leman, 1968) of the graph closed over its states: a
colour starts as what a value is, and is refined by the colours of what it is made of and of
what it is used for until no class splits.  Graphs of equal hash are almost always the same;
:func:`same_cell` makes sure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

import networkx as nx

from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole
from rnndsl.compiler.op_types import parse_spec
from rnndsl.compiler.pipeline import PIPELINES, run_to_fixpoint
from rnndsl.compiler.text_values import attrs_text, type_text


def canonical_hash(graph: Graph) -> str:
    """32 hexadecimal digits, equal for equal cells; the same in every process.

    ``graph`` is a lowered cell (not separated), bound or not; a bound and an unbound graph
    differ.
    """
    return _summary(_colours(_structure(canonical_form(graph))))


def same_cell(left: Graph, right: Graph) -> bool:
    """Whether two graphs are the same cell, exactly (by isomorphism where hashes agree)."""
    first, second = (_structure(canonical_form(graph)) for graph in (left, right))
    colours = _colours(first), _colours(second)
    if _summary(colours[0]) != _summary(colours[1]):
        return False
    views = [_view(s, c) for s, c in zip((first, second), colours, strict=True)]
    return bool(
        nx.is_isomorphic(
            *views,
            node_match=lambda a, b: a["colour"] == b["colour"],
            edge_match=lambda a, b: a["tags"] == b["tags"],
        )
    )


def canonical_form(graph: Graph) -> Graph:
    """The graph simplified for comparison; not for running (see ``simplify-real``)."""
    return run_to_fixpoint(graph, PIPELINES["compare"])


@dataclass(slots=True)
class _Structure:
    """What the hash sees: labelled vertices and tagged edges to what each is made of."""

    labels: dict[int, str] = field(default_factory=dict)
    parts: dict[int, list[tuple[str, int]]] = field(default_factory=dict)


# Chains of these are one sum, product or extremum: their terms have no order.
_CHAINS = {"add": "add", "sub": "add", "neg": "add", "mul": "mul", "max": "max", "min": "min"}
_UNORDERED = {"eq", "ne"}


def _structure(graph: Graph) -> _Structure:
    """The part of a graph that its outputs depend on, through the states as well."""
    made = _Structure()
    uses = Counter(v for node in graph.nodes for v in node.operands)
    uses.update(result.value for result in graph.results)
    inputs = [leaf.name for leaf in graph.leaves_of(LeafRole.INPUT)]
    after = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    start = {r.name: r.value for r in graph.results_of(ResultRole.VALUE)}
    pending = []
    for place, result in enumerate(graph.results_of(ResultRole.OUTPUT)):
        # Outputs are vertices of their own, with negative numbers.
        made.labels[-1 - place] = f"output {place}"
        made.parts[-1 - place] = [("", result.value)]
        pending.append(result.value)
    while pending:
        value = pending.pop()
        if value in made.labels:
            continue
        entry = graph.definition(value)
        kind = type_text(entry.type)
        if isinstance(entry, Node):
            chain = _CHAINS.get(entry.op)
            label = chain or (entry.op if entry.op == "contract" else _call(entry))
            parts = _terms(graph, uses, value, chain) if chain else _operands(entry)
        else:
            place_text = f" {inputs.index(entry.name)}" if entry.role is LeafRole.INPUT else ""
            label = entry.role.value + place_text
            parts = _state_parts(entry, after, start)
        made.labels[value] = f"{label}: {kind}"
        made.parts[value] = parts
        pending.extend(part for _, part in parts)
    return made


def _call(node: Node) -> str:
    return f"{node.op} {attrs_text(node.attrs)}"


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
    parts = [("next", after[leaf.name])]
    if f"init.{leaf.name}" in start:
        parts.append(("start", start[f"init.{leaf.name}"]))
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


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _colours(structure: _Structure) -> dict[int, str]:
    """The stable colour of every vertex."""
    users: dict[int, list[tuple[str, int]]] = {value: [] for value in structure.labels}
    for value, parts in structure.parts.items():
        for tag, part in parts:
            users[part].append((tag, value))
    colours = {value: _digest(label) for value, label in structure.labels.items()}
    classes = len(set(colours.values()))
    while True:
        refined = {
            value: _digest(
                "|".join(
                    (
                        colour,
                        *sorted(f"<{tag} {colours[v]}" for tag, v in structure.parts[value]),
                        *sorted(f">{tag} {colours[v]}" for tag, v in users[value]),
                    )
                )
            )
            for value, colour in colours.items()
        }
        found = len(set(refined.values()))
        if found == classes:
            return refined
        colours, classes = refined, found


def _summary(colours: dict[int, str]) -> str:
    return _digest(" ".join(sorted(colours.values())))


def _view(structure: _Structure, colours: dict[int, str]) -> nx.DiGraph[int]:
    """The structure for networkx; repeated edges become one with all their tags."""
    made: nx.DiGraph[int] = nx.DiGraph()
    for value, colour in colours.items():
        made.add_node(value, colour=colour)
    for value, parts in structure.parts.items():
        for part in {part for _, part in parts}:
            tags = sorted(tag for tag, other in parts if other == part)
            made.add_edge(part, value, tags=tags)
    return made
