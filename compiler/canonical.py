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

from hashlib import blake2b

import networkx as nx

from rnndsl.compiler.cell_structure import CellStructure, cell_structure
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.pipeline import PIPELINES, run_to_fixpoint


def canonical_hash(graph: Graph) -> str:
    """32 hexadecimal digits, equal for equal cells; the same in every process.

    ``graph`` is a lowered cell (not separated), bound or not; a bound and an unbound graph
    differ.
    """
    return _summary(_colours(cell_structure(canonical_form(graph))))


def same_cell(left: Graph, right: Graph) -> bool:
    """Whether two graphs are the same cell, exactly (by isomorphism where hashes agree)."""
    first, second = (cell_structure(canonical_form(graph)) for graph in (left, right))
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


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _colours(structure: CellStructure) -> dict[int, str]:
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


def _view(structure: CellStructure, colours: dict[int, str]) -> nx.DiGraph[int]:
    """The structure for networkx; repeated edges become one with all their tags."""
    made: nx.DiGraph[int] = nx.DiGraph()
    for value, colour in colours.items():
        made.add_node(value, colour=colour)
    for value, parts in structure.parts.items():
        for part in {part for _, part in parts}:
            tags = sorted(tag for tag, other in parts if other == part)
            made.add_edge(part, value, tags=tags)
    return made
