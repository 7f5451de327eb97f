"""Every cell of the standard library computes what its paper's equations say."""

from __future__ import annotations

import numpy as np
import pytest

import rnndsl
from rnndsl.checking.check import check_cell
from rnndsl.compiler.initializers import initialize, param_shape
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.lower import lower
from tests.stdlib.equations import CASES, Equations

STEPS, BATCH = 6, 3


@pytest.mark.parametrize(("D", "H"), [(1, 2), (3, 6), (7, 4)])
@pytest.mark.parametrize(
    ("name", "numbers", "equations"), CASES, ids=[f"{c[0]}{c[1] or ''}" for c in CASES]
)
def test_cell_computes_the_equations_of_its_paper(
    name: str, numbers: dict[str, int | float], equations: Equations, D: int, H: int
) -> None:
    sizes = {"D": D, "H": H}
    lowered = lower(rnndsl.load(name), numbers)
    graph = lowered.graph.bind(sizes)
    rng = np.random.default_rng(D * 100 + H)
    params = {spec.name: rng.normal(0, 0.7, param_shape(spec, sizes)) for spec in lowered.params}
    x = rng.normal(size=(STEPS, BATCH, D))
    first = run(graph, {"x": x[:1]}, _zero_states(graph), params).values
    states = {
        leaf.name: np.broadcast_to(first[f"init.{leaf.name}"], (BATCH, *leaf.type.sizes))
        for leaf in graph.leaves_of(LeafRole.STATE)
    }
    (found,) = run(graph, {"x": x}, states, params).outputs.values()
    wanted = np.stack([equations(x[:, b], params, H) for b in range(BATCH)], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)


def _zero_states(graph: Graph) -> dict[str, np.ndarray]:
    return {
        leaf.name: np.zeros((BATCH, *leaf.type.sizes)) for leaf in graph.leaves_of(LeafRole.STATE)
    }


def test_every_cell_of_the_library_has_equations_to_compare_with() -> None:
    assert {name for name, _, _ in CASES} == set(rnndsl.list_cells())


@pytest.mark.parametrize("name", rnndsl.list_cells())
def test_cell_has_no_mistakes_and_no_warnings(name: str) -> None:
    assert check_cell(rnndsl.load(name)).diagnostics == ()


@pytest.mark.parametrize("name", rnndsl.list_cells())
def test_cell_has_one_result_for_each_state_and_an_initial_value(name: str) -> None:
    graph = lower(rnndsl.load(name)).graph
    states = [leaf.name for leaf in graph.leaves_of(LeafRole.STATE)]
    assert [r.name for r in graph.results_of(ResultRole.STATE)] == states
    assert [r.name for r in graph.results_of(ResultRole.VALUE)] == [f"init.{s}" for s in states]
    output = "y_" if "y" in states else "y"
    assert [r.name for r in graph.results_of(ResultRole.OUTPUT)] == [output]


@pytest.mark.parametrize("name", rnndsl.list_cells())
def test_cell_starts_with_finite_parameters_of_its_shapes(name: str) -> None:
    sizes = {"D": 3, "H": 4}
    lowered = lower(rnndsl.load(name))
    arrays = initialize(lowered.params, sizes, seed=1)
    for spec in lowered.params:
        assert arrays[spec.name].shape == param_shape(spec, sizes)
        assert np.isfinite(arrays[spec.name]).all()


def test_states_of_a_sub_cell_follow_the_cells_own() -> None:
    graph = lower(rnndsl.load("hyperlstm")).graph
    assert [leaf.name for leaf in graph.leaves_of(LeafRole.STATE)] == ["h", "c", "k.h", "k.c"]


def test_lstm_has_the_parameters_of_torch_under_readable_names() -> None:
    names = [spec.name for spec in lower(rnndsl.load("lstm")).params]
    assert names == [f"{g}.{part}" for g in "ifgo" for part in ("x.weight", "h.weight", "bias")]


@pytest.mark.parametrize("name", ["LSTM", "lstm", "Lstm", "layernorm_lstm", "LayerNormLSTM"])
def test_library_cells_are_found_in_upper_or_lower_case(name: str) -> None:
    assert rnndsl.load(name).name in ("LSTM", "LayerNormLSTM")


def test_an_unknown_library_cell_gets_a_suggestion() -> None:
    with pytest.raises(rnndsl.RnndslError, match="did you mean `lstm`"):
        rnndsl.load("lstn")
