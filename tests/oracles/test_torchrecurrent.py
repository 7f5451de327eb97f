"""Our cells against those of the package torchrecurrent.

Its recurrent highway network (version 0.2.5) cannot be imported.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import rnndsl
from tests.oracles.published import (
    BATCH,
    Published,
    States,
    assert_same,
    chunks,
    normal,
    published,
    randomised,
    stepwise,
    trained,
)

torchrecurrent = published("torchrecurrent")

D, H = 3, 5


def _double(cell: Any, weights: dict[str, Tensor]) -> Published:
    def step(x: Tensor, states: States) -> tuple[Tensor, States]:
        h, c = cell(x, states)
        return h, (h, c)

    return Published(trained(cell), weights, stepwise(step, H, H))


def _single(cell: Any, weights: dict[str, Tensor]) -> Published:
    def step(x: Tensor, states: States) -> tuple[Tensor, States]:
        h = cell(x, states[0])
        return h, (h,)

    return Published(trained(cell), weights, stepwise(step, H))


def _states(count: int, given: bool) -> States | None:
    return tuple(normal(BATCH, H, seed=k) for k in range(count)) if given else None


@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
def test_minimal_gated_unit(given: bool) -> None:
    cell = randomised(torchrecurrent.MGUCell(D, H))
    weights = {
        **chunks("fn", ".x.weight", cell.weight_ih),
        **chunks("fn", ".h.weight", cell.weight_hh),
        **chunks("fn", ".bias", cell.bias_ih + cell.bias_hh),
    }
    weights["n.fh.weight"] = weights.pop("n.h.weight")
    layer = rnndsl.layer("mgu", D, H, dtype=torch.float64)
    assert_same(layer, _single(cell, weights), _states(1, given))


@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
def test_lstm_with_peepholes(given: bool) -> None:
    cell = randomised(torchrecurrent.PeepholeLSTMCell(D, H))
    peepholes = cell.weight_ph.chunk(3)
    weights = {
        **chunks("ifgo", ".x.weight", cell.weight_ih),
        **chunks("ifgo", ".h.weight", cell.weight_hh),
        **chunks("ifgo", ".bias", cell.bias_ih + cell.bias_hh),
        **dict(zip(("p_i", "p_f", "p_o"), peepholes, strict=True)),
    }
    layer = rnndsl.layer("lstm_peephole", D, H, dtype=torch.float64)
    assert_same(layer, _double(cell, weights), _states(2, given))


def _nascell() -> Published:
    """Ours has no biases, as by default in TensorFlow; theirs are zero here and not trained."""
    cell = randomised(torchrecurrent.NASCell(D, H))
    for bias in (cell.bias_ih, cell.bias_hh):
        bias.detach().zero_()
        bias.requires_grad_(False)
    weights = {
        **{f"u.{k}.x.weight": part for k, part in enumerate(cell.weight_ih.chunk(8))},
        **{f"v.{k}.h.weight": part for k, part in enumerate(cell.weight_hh.chunk(8))},
    }
    return _double(cell, weights)


@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
def test_nascell_but_for_its_one_product(given: bool) -> None:
    """They add where the cell that was found multiplies: relu(u[3] + v[3]), not u[3] v[3].

    The NASCell of TensorFlow (contrib, then addons) multiplies, and so does ours; with
    that one sign changed, the two agree.
    """
    source = rnndsl.load("nascell").sources()
    (text,) = (s.text for s in source)
    assert text.count("u[3] * v[3]") == 1
    layer = rnndsl.layer(
        rnndsl.parse(text.replace("u[3] * v[3]", "u[3] + v[3]")), D, H, dtype=torch.float64
    )
    assert_same(layer, _nascell(), _states(2, given))
    with pytest.raises(AssertionError, match="values"):
        assert_same(rnndsl.layer("nascell", D, H, dtype=torch.float64), _nascell())
