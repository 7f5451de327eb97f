"""When are two cells the same?  A canonical hash of a graph, and an exact comparison.

The hash does not see the names of states, parameters or inner values, the order in which
states and parameters are declared, the order of operands and terms where it does not matter,
dead code, states that the outputs never feel, that stay zero or repeat others, or what the
``compare`` pipeline simplifies.  It does see the order of inputs and outputs, how states
start, every shape, which uses of a parameter are uses of the same one and, of a lowered cell,
how parameters start and whether they are trained.

It is colour refinement (Weisfeiler and Leman, 1968) of the graph closed over its states: a
colour starts as what a value is, and is refined by the colours of what it is made of and of
what it is used for until no class splits.  Graphs of equal hash are almost always the same;
:func:`match_cells` makes sure.
"""

from __future__ import annotations

from hashlib import blake2b

import networkx as nx

from rnndsl.compiler.cell_structure import CellStructure, cell_structure
from rnndsl.compiler.idle_states import without_idle_states
from rnndsl.compiler.ir import Graph, LeafRole
from rnndsl.compiler.lower import Lowered
from rnndsl.compiler.pipeline import PIPELINES, run_to_fixpoint


def canonical_hash(cell: Graph | Lowered) -> str:
    """32 hexadecimal digits, equal for equal cells; the same in every process.

    ``cell`` is lowered (not separated), bound or not; a bound and an unbound graph differ.
    Its graph alone says nothing of how parameters start.
    """
    return _summary(_colours(_structure(cell)[1]))


def same_cell(left: Graph | Lowered, right: Graph | Lowered) -> bool:
    """Whether two cells are the same, exactly (by isomorphism where hashes agree)."""
    return match_cells(left, right) is not None


def match_cells(left: Graph | Lowered, right: Graph | Lowered) -> dict[str, str] | None:
    """Which state or parameter of ``right`` plays the part of each one of ``left``.

    With its parameters exchanged so, either cell computes what the other does.  Those that
    the outputs do not feel are left out.  None when the cells are not the same.
    """
    (first, one), (second, two) = _structure(left), _structure(right)
    colours = _colours(one), _colours(two)
    if _summary(colours[0]) != _summary(colours[1]):
        return None
    matcher = nx.algorithms.isomorphism.DiGraphMatcher(
        _view(one, colours[0]),
        _view(two, colours[1]),
        node_match=lambda a, b: a["colour"] == b["colour"],
        edge_match=lambda a, b: a["tags"] == b["tags"],
    )
    if not matcher.is_isomorphic():
        return None
    return {
        first.leaves[v].name: second.leaves[w].name
        for v, w in matcher.mapping.items()
        if 0 <= v < len(first.leaves) and first.leaves[v].role is not LeafRole.INPUT
    }


def _structure(cell: Graph | Lowered) -> tuple[Graph, CellStructure]:
    form = canonical_form(cell.graph if isinstance(cell, Lowered) else cell)
    made = cell_structure(form)
    if isinstance(cell, Lowered):
        specs = {spec.name: spec for spec in cell.params}
        for value in made.labels:
            leaf = form.leaves[value] if 0 <= value < len(form.leaves) else None
            if leaf is not None and leaf.role is LeafRole.PARAM:
                spec = specs[leaf.name]
                made.labels[value] += f" {spec.init} {spec.trainable} {spec.hidden}"
    return form, made


def canonical_form(graph: Graph) -> Graph:
    """The graph simplified for comparison; not for running (see ``simplify-real``)."""
    return run_to_fixpoint(without_idle_states(graph), PIPELINES["compare"])


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
