"""Recurrence classes: proved ones hold for the numbers, and each class is recognised."""

from __future__ import annotations

import numpy as np
import pytest

import rnndsl
from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.classes import Recurrence, ScanClass, Structure, classify
from rnndsl.compiler.interpreter import run_step
from rnndsl.compiler.ir import Graph, LeafRole
from rnndsl.compiler.lower import lower
from rnndsl.compiler.op_linearity import LINEARITY
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split
from tests.cells.random_cells import random_cell

HEAD = "cell C(D, H):\n    input x: [D]\n"


def classes_of(text: str) -> tuple[ScanClass, ...]:
    cell = rnndsl.parse(text) if "\n" in text else rnndsl.load(text)
    return classify(split(step_of(lower(cell).graph)))


def step_of(graph: Graph) -> Graph:
    return run_pipeline(
        separate(run_pipeline(graph, PIPELINES["default"])).step, PIPELINES["final"]
    )


def body(*lines: str) -> str:
    return HEAD + "".join(f"    {line}\n" for line in lines)


def test_every_op_says_how_it_behaves_in_its_operands() -> None:
    assert LINEARITY.keys() == OPS.keys()


RECURRENCES = {
    "moving average": (
        body("state h: [H]", "param a: [H]", "h' = a * h + linear[H](x)", "return h'"),
        (Recurrence.TIME_INVARIANT, Structure.DIAGONAL),
    ),
    "matrix of parameters": (
        body("state h: [H]", "param A: [H, H]", "h' = A @ h + linear[H](x)", "return h'"),
        (Recurrence.TIME_INVARIANT, Structure.DENSE),
    ),
    "gate of the input": (
        body(
            "state h: [H]",
            "f = sigmoid(linear[H](x))",
            "h' = f * h + (1 - f) * linear[H](x, name = u)",
            "return h'",
        ),
        (Recurrence.INPUT_DEPENDENT, Structure.DIAGONAL),
    ),
    "delta rule": (
        body(
            "state S: [H, H]",
            "k = linear[H](x)",
            "v = linear[H](x)",
            'S\' = S + outer(k, v - einsum("kv,k->v", S, k))',
            "return k @ S'",
        ),
        (Recurrence.INPUT_DEPENDENT, Structure.ONE_SIDED),
    ),
    "two states that turn": (
        body(
            "state a: [H]",
            "state b: [H]",
            "u = linear[H](x)",
            "a' = 0.6 * a - 0.8 * b + u",
            "b' = 0.8 * a + 0.6 * b",
            "return b'",
        ),
        (Recurrence.TIME_INVARIANT, Structure.COUPLED),
    ),
    "independent units": (
        body("state h: [H]", "param w: [H]", "h' = tanh(w * h + linear[H](x))", "return h'"),
        (Recurrence.ELEMENTWISE, Structure.DIAGONAL),
    ),
    "state times itself": (
        body("state h: [H]", "h' = 0.1 * h * h + linear[H](x)", "return h'"),
        (Recurrence.ELEMENTWISE, Structure.DIAGONAL),
    ),
    "rounded state": (
        body("state h: [H]", "h' = floor(h) + linear[H](x)", "return h'"),
        (Recurrence.ELEMENTWISE, Structure.DIAGONAL),
    ),
    "gate of the state": (
        body("state h: [H]", "h' = tanh(linear[H](x, h))", "return h'"),
        (Recurrence.MATRIX, Structure.DENSE),
    ),
    "neighbours": (
        body("state h: [H]", "h' = 0.5 * roll(h, 1) + linear[H](x)", "return h'"),
        (Recurrence.TIME_INVARIANT, Structure.DENSE),
    ),
}


@pytest.mark.parametrize("name", RECURRENCES)
def test_recurrence_is_recognised(name: str) -> None:
    text, wanted = RECURRENCES[name]
    (found,) = classes_of(text)
    assert (found.recurrence, found.structure) == wanted


def test_packed_gates_of_lone_elements_are_still_elementwise() -> None:
    gates = [f"{g} = sigmoid(linear[H](x) + v_{g} * h)" for g in "ifo"]
    text = body(
        "state h: [H]",
        *[f"param v_{g}: [H]" for g in "ifo"],
        *gates,
        "h' = f * h + i * tanh(o)",
        "return h'",
    )
    (found,) = classes_of(text)
    assert found.recurrence is Recurrence.ELEMENTWISE


def test_running_maximum_is_linear_in_max_plus() -> None:
    found = classes_of("mlstm")[0]
    assert (found.states, found.recurrence, found.maximum) == (
        ("m",),
        Recurrence.INPUT_DEPENDENT,
        True,
    )


def test_a_state_that_keeps_its_value_is_an_empty_scan() -> None:
    (found,) = classes_of(body("state h: [H] = 1", "h' = h", "u = linear[H](x)", "return h + u"))
    assert found.recurrence is Recurrence.EMPTY


def test_the_cause_points_into_the_file() -> None:
    (found,) = classes_of("sru")
    text = rnndsl.load("sru").source.text
    assert found.span is not None
    assert text[found.span.start :].startswith("sigmoid(")
    assert "sigmoid is not linear in `c`" in found.text()


@pytest.mark.parametrize("name", ["lstm", "sru", "mgu", "slstm", "nascell"])
def test_backward_scans_are_linear_whatever_the_cell(name: str) -> None:
    step = separate(run_pipeline(lower(rnndsl.load(name)).graph, PIPELINES["default"])).step
    backward = run_pipeline(differentiate(step).backward, PIPELINES["backward"])
    assert all(found.linear for found in classify(split(backward, reverse=True)))


# ------------------------------------------------------------- proofs hold for the numbers


def drawn(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return rng.standard_normal(shape)


@pytest.mark.parametrize("seed", range(40))
def test_proved_classes_hold_for_the_numbers(seed: int) -> None:
    """Superposition where a scan is called linear; one element alone where so called."""
    graph = step_of(lower(rnndsl.parse(random_cell(seed, 3))).graph).bind({"D": 2, "H": 3})
    rng = np.random.default_rng(seed)
    fixed = {
        f.name: drawn((1, *f.type.sizes) if f.type.batched else f.type.sizes, rng)
        for f in graph.leaves
    }
    for found in classify(split(graph)):
        kinds = {
            f.name: f.type.sizes for f in graph.leaves_of(LeafRole.STATE) if f.name in found.states
        }

        def after(states: dict[str, Array], only: tuple[str, ...] = found.states) -> list[Array]:
            with np.errstate(all="ignore"):
                results = run_step(graph, {**fixed, **states})
            return [np.array(results[f"state.{name}"]) for name in only]

        zero = {n: np.zeros((1, *s)) for n, s in kinds.items()}
        one, two = ({n: drawn((1, *s), rng) for n, s in kinds.items()} for _ in range(2))
        if found.linear and not found.maximum:
            both = {n: one[n] + two[n] for n in kinds}
            for a, b, c, d in zip(*map(after, (both, zero, one, two)), strict=True):
                np.testing.assert_allclose(a + b, c + d, atol=1e-9)
        if found.structure in (Structure.DIAGONAL, Structure.COUPLED):
            for name, shape in kinds.items():
                place = tuple(int(rng.integers(size)) for size in shape)
                moved = {n: a.copy() for n, a in one.items()}
                moved[name][(0, *place)] += 1.5
                for was, now in zip(after(one), after(moved), strict=True):
                    was[(0, *place)] = now[(0, *place)] = 0
                    np.testing.assert_array_equal(was, now)
