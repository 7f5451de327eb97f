"""States that stay zero or repeat others are found, and no others."""

from __future__ import annotations

import pytest

import rnndsl
from rnndsl.compiler.canonical import canonical_hash, match_cells, same_cell
from rnndsl.compiler.idle_states import without_idle_states
from rnndsl.compiler.ir import LeafRole
from rnndsl.compiler.lower import Lowered, lower

HEAD = "cell C(D, H):\n    input x: [D]\n    state h: [H]\n"


def cell(*lines: str, last: str = "h'") -> Lowered:
    body = "".join(f"    {line}\n" for line in lines)
    return lower(rnndsl.parse(f"{HEAD}{body}    return {last}\n"))


def states(lowered: Lowered) -> list[str]:
    return [leaf.name for leaf in without_idle_states(lowered.graph).leaves_of(LeafRole.STATE)]


ONE = "h' = tanh(linear[H](x, h))"
KEPT = {
    "another": (["state c: [H]", "c' = c + h", "h' = tanh(linear[H](x, h) + c)"], ["h", "c"]),
    "zero": (["state c: [H]", "c' = c * h", "h' = tanh(linear[H](x, h) + c)"], ["h"]),
    "zero through a matrix": (
        ["state c: [H]", "c' = tanh(linear[H](c, bias = 0) * h)", ONE],
        ["h"],
    ),
    "not zero: a bias": (["state c: [H]", "c' = tanh(linear[H](c))", ONE], ["h", "c"]),
    "not zero: it starts at one": (["state c: [H] = 1", "c' = c * h", ONE], ["h", "c"]),
    "two zeros": (["state a: [H]", "state b: [H]", "a' = b", "b' = a * h", ONE], ["h"]),
    "a chain that ends in a state": (
        ["state a: [H]", "state b: [H]", "a' = b", "b' = a + h", ONE],
        ["h", "a", "b"],
    ),
    "a copy": (["state c: [H]", ONE, "c' = tanh(0 + linear[H](x, h, name = h2))"], ["h", "c"]),
    "a true copy": (["state c: [H]", ONE, "c' = h'"], ["h"]),
    "copies of each other": (
        ["state a: [H]", "state b: [H]", ONE, "a' = b + h", "b' = h + a"],
        ["h", "a"],
    ),
    "alike but for the start": (
        ["state a: [H] = 1", "state b: [H]", ONE, "a' = b + h", "b' = h + a"],
        ["h", "a", "b"],
    ),
}


@pytest.mark.parametrize(("lines", "kept"), KEPT.values(), ids=KEPT.keys())
def test_states_that_are_left(lines: list[str], kept: list[str]) -> None:
    if "bias = 0" in str(lines):
        lines = [line.replace("bias = 0", "bias = false") for line in lines]
    assert states(cell(*lines)) == kept


def test_a_cell_without_idle_states_is_left_alone() -> None:
    graph = lower(rnndsl.load("lstm")).graph
    assert without_idle_states(graph) is graph


def test_an_output_that_stays_zero_is_zero() -> None:
    one, two = cell("h' = h * tanh(linear[H](x))"), cell("h' = sin(h) * linear[H](x)")
    assert same_cell(one, two)
    assert not states(one)


def test_how_parameters_start_tells_cells_apart() -> None:
    plain, biased = cell(ONE), cell("h' = tanh(linear[H](x, h, bias = 1))")
    assert canonical_hash(plain) != canonical_hash(biased)
    assert canonical_hash(plain.graph) == canonical_hash(biased.graph)
    assert not same_cell(plain, biased)
    drawn = cell("h' = tanh(linear[H](x, h, init = orthogonal))")
    assert canonical_hash(plain) != canonical_hash(drawn)


def test_parameters_of_equal_cells_are_matched() -> None:
    left = cell("state c: [H]", "f = sigmoid(linear[H](x, c))", "c' = f * h", "h' = tanh(c' + f)")
    right = cell("state q: [H]", "r = sigmoid(linear[H](q, x))", "q' = h * r", "h' = tanh(r + q')")
    matched = match_cells(left, right)
    assert matched is not None
    assert matched["f.c.weight"] == "r.q.weight"
    assert matched["f.x.weight"] == "r.x.weight"
    assert matched["c"] == "q" and matched["h"] == "h"
