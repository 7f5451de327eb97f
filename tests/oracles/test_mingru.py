"""minGRU and minLSTM against the package minGRU-pytorch.

Its layers work on [B, T, D], keep D for H, and run a sequence as a scan over logarithms, a single
step as the plain recurrence.
"""

from __future__ import annotations

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

mingru = published("minGRU_pytorch.minGRU")
minlstm = published("minGRU_pytorch.minLSTM")

H = 5


def _module(cell: str) -> tuple[torch.nn.Module, dict[str, Tensor]]:
    if cell == "mingru":
        module = randomised(mingru.minGRU(H))
        return module, chunks("uz", ".x.weight", module.to_hidden_and_gate.weight)
    module = randomised(minlstm.minLSTM(H))
    return module, chunks("ufi", ".x.weight", module.to_hidden_and_f_i_gate.weight)


@pytest.mark.parametrize("cell", ["mingru", "minlstm"])
def test_a_sequence_is_their_scan_over_logarithms(cell: str) -> None:
    module, weights = _module(cell)

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        assert states is None
        y, last = module(x.transpose(0, 1), return_next_prev_hidden=True)
        return y.transpose(0, 1), (last[:, 0],)

    layer = rnndsl.layer(cell, H, H, dtype=torch.float64)
    assert_same(layer, Published(trained(module), weights, run))


@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
@pytest.mark.parametrize("cell", ["mingru", "minlstm"])
def test_steps_are_theirs(cell: str, given: bool) -> None:
    """Given states are compared here alone: their scan needs h > 0, and for minLSTM applies g
    to the state, which their step does not."""
    module, weights = _module(cell)

    def step(x: Tensor, states: States) -> tuple[Tensor, States]:
        y = module(x[:, None], states[0][:, None])[:, 0]
        return y, (y,)

    layer = rnndsl.layer(cell, H, H, dtype=torch.float64)
    states = (normal(BATCH, H, seed=2),) if given else None
    assert_same(layer, Published(trained(module), weights, stepwise(step, H)), states)
