"""Drawings: nothing overlaps, everything is there, and the same graph gives the same text."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from itertools import combinations, pairwise, product
from xml.etree import ElementTree

import pytest

from rnndsl.cell import list_cells, load
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.drawing.diagram import Diagram, Shape
from rnndsl.compiler.drawing.draw import draw, drawn_diagram
from rnndsl.compiler.drawing.layout import Box, Layout, layouts
from rnndsl.compiler.drawing.loops import loops
from rnndsl.compiler.drawing.place import Apart, Near, place
from rnndsl.compiler.drawing.text import Run, name, number, plain
from rnndsl.compiler.drawing.tidy import tidiest, untidiness
from rnndsl.compiler.ir import LeafRole, ResultRole
from rnndsl.compiler.lower import lower
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split

from .make import batched, lstm
from .random_graphs import random_graph

SVG = "{http://www.w3.org/2000/svg}"
RANDOM = [f"random {seed}" for seed in range(6)]
CELLS = list(product(list_cells(), ("plain", "stages")))
CASES = CELLS + list(product(RANDOM, ("plain", "stages")))


@cache
def laid_out(cell: str, kind: str) -> tuple[Diagram, Layout]:
    if cell in RANDOM:
        graph = random_graph(RANDOM.index(cell), derived=True)
    else:
        graph = lower(load(cell)).graph
    diagram = drawn_diagram(split(separate(graph).step) if kind == "stages" else graph)
    return diagram, tidiest(diagram)


# ------------------------------------------------------------------------------- geometry


def overlap(one: Box, other: Box) -> bool:
    return (
        one.left < other.right
        and other.left < one.right
        and one.top < other.bottom
        and other.top < one.bottom
    )


@pytest.mark.parametrize(("cell", "kind"), CASES)
def test_no_two_blocks_overlap(cell: str, kind: str) -> None:
    _, found = laid_out(cell, kind)
    assert not [pair for pair in combinations(found.boxes, 2) if overlap(*pair)]


@pytest.mark.parametrize(("cell", "kind"), CASES)
def test_wires_go_up_in_straight_pieces_and_through_no_block(cell: str, kind: str) -> None:
    diagram, found = laid_out(cell, kind)
    for line in found.lines:
        for (x1, y1), (x2, y2) in pairwise(line.points):
            assert (x1 == x2 and y1 >= y2) or y1 == y2, "a slanted or falling piece"
            piece = Box((x1 + x2) / 2, (y1 + y2) / 2, abs(x1 - x2) + 4, abs(y1 - y2))
            hit = {k for k, box in enumerate(found.boxes) if overlap(piece, box)}
            ends = {t for t, _ in diagram.wires[line.wire].targets}
            assert hit <= ends | {diagram.wires[line.wire].source}


@pytest.mark.parametrize(("cell", "kind"), CASES)
def test_different_wires_do_not_lie_on_each_other(cell: str, kind: str) -> None:
    _, found = laid_out(cell, kind)
    pieces = {
        (line.wire, *piece) for line in found.lines for piece in pairwise(line.points)
    }  # those of one wire coincide where it has not forked yet
    for one, other in combinations(pieces, 2):
        if one[0] != other[0]:
            assert not run_together(one[1:], other[1:]), (one, other)


def run_together(one: tuple, other: tuple) -> bool:  # type: ignore[type-arg]
    """Whether two pieces are parallel, nearer than 3, and side by side for more than 1."""
    for across, along in ((0, 1), (1, 0)):
        straight = all(piece[0][across] == piece[1][across] for piece in (one, other))
        if straight and abs(one[0][across] - other[0][across]) < 3:
            low = max(min(p[along] for p in piece) for piece in (one, other))
            high = min(max(p[along] for p in piece) for piece in (one, other))
            if high - low > 1:
                return True
    return False


@pytest.mark.parametrize(("cell", "kind"), CASES)
def test_states_return_around_the_blocks_on_ways_of_their_own(cell: str, kind: str) -> None:
    diagram, found = laid_out(cell, kind)
    ways = loops(diagram, found).loops
    assert {way.state for way in ways} == {
        block.name for block in diagram.blocks if block.shape is Shape.STATE
    }
    for way in ways:
        for (x1, y1), (x2, y2) in pairwise(way.points):
            piece = Box((x1 + x2) / 2, (y1 + y2) / 2, abs(x1 - x2), abs(y1 - y2))
            assert not any(overlap(piece, box) for box in found.boxes)
    for one, other in combinations(ways, 2):
        for pieces in product(pairwise(one.points), pairwise(other.points)):
            assert not run_together(*pieces)


def test_the_tidiest_of_several_layouts_is_drawn() -> None:
    diagram, found = laid_out("lstm", "plain")
    others = layouts(diagram)
    assert len(others) > 1
    assert untidiness(found) == min(map(untidiness, others))


def test_stages_are_stacked_in_order() -> None:
    diagram, found = laid_out("linear_attention", "stages")
    assert len(diagram.stages) > 1
    layers = {
        stage: [found.ranks[k] for k, b in enumerate(diagram.blocks) if b.stage == stage]
        for stage in range(len(diagram.stages))
    }
    for lower_stage, upper_stage in pairwise(sorted(layers)):
        assert max(layers[lower_stage]) < min(layers[upper_stage])


# -------------------------------------------------------------------------------- content


@pytest.mark.parametrize(("cell", "kind"), CELLS)
def test_every_input_state_and_result_is_drawn(cell: str, kind: str) -> None:
    diagram, _ = laid_out(cell, kind)
    graph = lower(load(cell)).graph
    shown = {shape: [b.name for b in diagram.blocks if b.shape is shape] for shape in Shape}
    assert shown[Shape.INPUT] == [leaf.name for leaf in graph.leaves_of(LeafRole.INPUT)]
    assert shown[Shape.STATE] == [leaf.name for leaf in graph.leaves_of(LeafRole.STATE)]
    assert shown[Shape.NEXT] == [r.name for r in graph.results_of(ResultRole.STATE)]
    assert shown[Shape.OUTPUT] or any(block.returned for block in diagram.blocks)


def test_an_lstm_is_drawn_as_in_a_paper() -> None:
    diagram = drawn_diagram(lstm())
    texts = [(b.shape.value, plain(b.label)) for b in diagram.blocks]
    assert sorted(texts) == sorted(
        [("input", "x"), ("state", "h"), ("state", "c"), ("next", "h′"), ("next", "c′")]
        + [("gate", "σ")] * 3
        + [("gate", "tanh"), ("point", "tanh"), ("point", "+")]
        + [("point", "×")] * 3
    )
    labels = {plain(wire.label) for wire in diagram.wires if wire.label}
    assert labels == {"i", "f", "g", "o"}
    assert [plain(b.label) for b in diagram.blocks if b.returned] == ["h′"]


def test_ops_of_one_call_are_one_block() -> None:
    diagram, _ = laid_out("layernorm_lstm", "plain")
    assert sum("Σ" in plain(block.label) for block in diagram.blocks) > 4
    graph = lower(load("layernorm_lstm")).graph
    spans = {node.span for node in graph.nodes if node.op == "reduce_sum"}
    named = drawn_diagram(graph, lambda span: "layer_norm" if span in spans else "")
    labels = [plain(block.label) for block in named.blocks]
    assert "LayerNorm" in labels
    assert not any("Σ" in label for label in labels)


def test_numbers_and_parameters_stand_in_the_operators() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched("H"))
    one = b.broadcast_like(b.full(1.0), batched("H"))
    b.result("y", ResultRole.OUTPUT, b.op("sub", one, b.op("mul", x, x)))
    labels = [plain(block.label) for block in drawn_diagram(b.finish("square")).blocks]
    assert labels == ["x", "( )²", "1 −", "output"]


def test_names_are_set_as_mathematics() -> None:
    assert name("h'") == (Run("h′", "name"),)
    assert name("y.3") == name("y3") == (Run("y", "name"), Run("3", "sub"))
    assert name("k.h") == (Run("k.h", "name"),)
    assert number(-0.5) == "−0.5"
    assert number(1e-6) == "1e−6"
    assert number(float("-inf")) == "−∞"


# ------------------------------------------------------------------------------- the text


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_the_drawing_is_well_formed_and_has_a_title(theme: str) -> None:
    root = ElementTree.fromstring(draw(lstm(), theme))
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}title") == root.attrib["aria-label"] == "lstm"
    assert "states h, c" in (root.findtext(f"{SVG}desc") or "")
    style = root.findtext(f"{SVG}style") or ""
    assert ("prefers-color-scheme: dark" in style) == (theme == "auto")


def test_names_are_escaped() -> None:
    b = Builder()
    x = b.leaf("<x&", LeafRole.INPUT, batched("H"))
    b.result("y", ResultRole.OUTPUT, b.op("tanh", x))
    root = ElementTree.fromstring(draw(b.finish('a"<b>&')))
    assert root.findtext(f"{SVG}title") == 'a"<b>&'
    assert "<x&" in ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_everything_stays_inside_the_drawing() -> None:
    root = ElementTree.fromstring(draw(split(separate(lstm()).step)))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    drawn = root.findall(f"{SVG}g")[0]  # the others are entries of the legend
    x, y = map(float, drawn.attrib["transform"][len("translate(") : -1].split())
    for rect in drawn.iter(f"{SVG}rect"):
        left, top = x + float(rect.attrib["x"]), y + float(rect.attrib["y"])
        assert left >= 0 and left + float(rect.attrib["width"]) <= width
        assert top >= 0 and top + float(rect.attrib["height"]) <= height


def test_the_same_cell_gives_the_same_drawing_whatever_the_hash_seed() -> None:
    program = "from rnndsl.cell import load; from rnndsl.showing.show import drawing; "
    program += "print(drawing(load('nascell')))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


# ------------------------------------------------------------------------ the optimisation


def test_placing_finds_the_least_total_distance() -> None:
    apart = [Apart(0, 1, 3), Apart(1, 2, 2, weight=1)]
    near = [Near(0, 2, 4, 1), Near(0, 1, 0, 2), Near(2, 1, 1, 1)]

    def cost(values: tuple[int, ...]) -> int:
        total = sum(a.weight * (values[a.high] - values[a.low]) for a in apart)
        return total + sum(n.weight * abs(values[n.one] + n.offset - values[n.other]) for n in near)

    allowed = [
        values
        for values in product(range(12), repeat=3)
        if all(values[a.high] - values[a.low] >= a.least for a in apart)
    ]
    best = min(map(cost, allowed))
    for centred in (False, True):
        found = tuple(place(3, apart, near, centred))
        assert found in allowed
        assert cost(found) == best


def test_placing_refuses_distances_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="contradict"):
        place(2, [Apart(0, 1, 2), Apart(1, 0, 1)], [])
