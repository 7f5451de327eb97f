"""The GRU whose reset gate comes before the product against Keras.

Its other cells are not compared: on torch, its LSTM calls that of torch.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

import rnndsl
from tests.oracles.published import (
    BATCH,
    SINGLE,
    Published,
    States,
    assert_same,
    chunks,
    normal,
    published,
    randomised,
)

D, H = 3, 5


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keras on torch, with its settings file in a folder of this test."""
    if find_spec("keras"):
        os.environ.setdefault("KERAS_BACKEND", "torch")
        os.environ.setdefault("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    found = published("keras")
    if found.backend.backend() != "torch":
        pytest.skip("Keras runs on another backend than torch")
    return found


@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
def test_gru_with_the_reset_gate_before_the_product(keras: Any, given: bool) -> None:
    """Keras on torch rounds every matrix product to float32, even between float64."""
    gru = keras.layers.GRU(
        H, reset_after=False, return_sequences=True, return_state=True, dtype="float64"
    )
    gru.build((BATCH, None, D))
    randomised(gru)
    kernel, recurrent, bias = (v.value for v in gru.trainable_variables)  # kernels are [in, out]
    weights = {
        **chunks("zrn", ".x.weight", kernel.t()),
        **chunks("zrn", ".h.weight", recurrent.t()),
        **chunks("zrn", ".bias", bias),
    }
    weights["n.rh.weight"] = weights.pop("n.h.weight")

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        y, h = gru(x.transpose(0, 1), initial_state=None if states is None else list(states))
        return y.transpose(0, 1), (h,)

    layer = rnndsl.layer("gru_reset_before", D, H, dtype=torch.float64)
    states = (normal(BATCH, H),) if given else None
    theirs = Published([kernel, recurrent, bias], weights, run)
    assert_same(layer, theirs, states, tolerance=SINGLE)
