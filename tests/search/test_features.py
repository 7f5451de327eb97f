"""Features describe a cell, whatever its text looks like, and tell cells apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnndsl
from rnndsl.compiler.lower import lower
from rnndsl.search.features import (
    BEHAVIOUR,
    STRUCTURE,
    behaviour_features,
    structural_features,
)
from rnndsl.search.features_behaviour import Probe, hidden_covariance

ROOT = Path(__file__).resolve().parents[2]
HEAD = "cell C(D, H):\n    input x: [D]\n    state h: [H]\n    state c: [H]\n"
SMALL = Probe(input_size=6, hidden_size=8, steps=12, batch=6, jacobian_hidden=5, jacobian_steps=8)


def structure(*lines: str) -> dict[str, float]:
    return structural_features(lower(cell(*lines)).graph)


def behaviour(*lines: str) -> dict[str, float]:
    return behaviour_features(cell(*lines), 0, SMALL)


def cell(*lines: str) -> rnndsl.Cell:
    return rnndsl.parse(HEAD + "".join(f"    {line}\n" for line in lines) + "    return h'\n")


@pytest.mark.parametrize("name", ["lstm", "gru", "rhn", "mlstm"])
def test_every_cell_has_the_same_finite_features(name: str) -> None:
    lowered = lower(rnndsl.load(name))
    shape, conduct = structural_features(lowered.graph), behaviour_features(lowered, 0, SMALL)
    assert (*shape,) == STRUCTURE and (*conduct,) == BEHAVIOUR
    assert np.isfinite([*shape.values(), *conduct.values()]).all()


def test_cells_that_are_equal_have_equal_structural_features() -> None:
    one = structure("g = sigmoid(linear[H](x, h))", "c' = g * c + h", "h' = (1 - g) * h + c'")
    two = structure(
        "gate = sigmoid(linear[H](h, x))", "c' = h + c * gate", "h' = c' + h * (1 - gate)"
    )
    assert one == two


def test_structural_features_count_what_is_there() -> None:
    found = structure(
        "g = sigmoid(linear[H](x, h))",
        "c' = g * c + (1 - g) * tanh(linear[H](x))",
        "h' = tanh(linear[H](c'))",
    )
    assert found["count.sigmoid"] == 2  # 1 - sigmoid(a) is sigmoid(-a)
    assert found["count.tanh"] == 2
    assert found["count.matrices"] == 4
    assert found["count.matrices_of_input"] == 2
    assert found["count.matrices_of_state"] == 1
    assert found["count.products"] == found["count.gates"] == 2
    assert found["params.numbers"] == pytest.approx(4 + 3 / 60)
    assert found["state.count"] == 2
    assert found["state.closed"] == 0.5  # h is tanh of something
    assert found["state.additive"] == 0.5  # c is carried by sums and products alone
    assert found["state.products_max"] == 2


def test_bounded_states_are_recognised_through_products_and_sums() -> None:
    assert (
        structure("c' = tanh(linear[H](x) + c)", "h' = c' * sigmoid(h) + c'")["state.bounded"] == 1
    )
    assert structure("c' = c + tanh(h)", "h' = tanh(linear[H](x, c))")["state.bounded"] == 0.5


def test_paths_are_counted_in_steps() -> None:
    found = structure("c' = h", "h' = tanh(sin(linear[H](x, c)))")
    # a product with a matrix, the sum, sin, tanh
    assert found["path.input_longest"] == found["path.input_to_output"] == 4
    assert found["path.state_shortest"] == 0
    assert found["path.nonlinear_most"] == 2
    assert found["state.copies"] == 0.5


def test_behaviour_is_the_same_in_every_process() -> None:
    program = (
        "import rnndsl; from rnndsl.search.features import *; from tests.search.test_features "
        "import SMALL; print(behaviour_features(rnndsl.load('lstm'), 3, SMALL), "
        "structural_features(rnndsl.compiler.lower.lower(rnndsl.load('lstm')).graph))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", "import rnndsl.compiler.lower;" + program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert behaviour_features(rnndsl.load("lstm"), 4, SMALL) != behaviour_features(
        rnndsl.load("lstm"), 3, SMALL
    )


def test_hidden_covariance_follows_its_definition() -> None:
    outputs = np.random.default_rng(0).standard_normal((5, 3, 4))
    rows = [outputs[:, example].ravel() for example in range(3)]
    matrix = np.array([[np.corrcoef(a, b)[0, 1] for a in rows] for b in rows])
    v = np.linalg.eigvals(matrix).real
    assert hidden_covariance(outputs) == pytest.approx(
        -sum(np.log(v + 1e-5) + 1 / (v + 1e-5)), rel=1e-9
    )


def test_cells_that_forget_the_example_have_a_low_hidden_covariance() -> None:
    apart = behaviour("c' = c", "h' = tanh(linear[H](x, h))")
    alike = behaviour("c' = c", "u = 0.0001 * linear[H](x)", "h' = tanh(linear[H](h)) + u")
    assert alike["hidden_covariance"] < apart["hidden_covariance"]
    assert alike["output.spread"] < apart["output.spread"]


def test_jacobians_are_measured_as_they_are_known() -> None:
    half = behaviour("c' = 0.5 * c", "h' = 0.5 * h + linear[H](x)")
    assert half["jacobian.radius"] == pytest.approx(np.log10(0.5), abs=1e-6)
    assert half["jacobian.lyapunov"] == pytest.approx(np.log10(0.5), abs=1e-6)
    assert half["gradient.vanishing"] == pytest.approx(np.log10(0.5) * 7 / 8, abs=1e-6)
    kept = behaviour("c' = c", "h' = h + linear[H](x)")
    assert kept["jacobian.lyapunov"] == pytest.approx(0, abs=1e-6)
    # The output at step 5 feels the input of step 0 as it was felt then.
    assert kept["gradient.input_5"] == pytest.approx(kept["gradient.input_0"], abs=1e-6)


def test_a_cell_that_explodes_is_measured_as_such() -> None:
    found = behaviour("c' = c", "h' = exp(exp(h)) * (1 + linear[H](x))")
    assert found["finite"] == 0
    assert found["hidden_covariance"] == -SMALL.batch / SMALL.offset
