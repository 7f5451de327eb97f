"""SRU against the package sru of its authors."""

from __future__ import annotations

import shutil
import warnings
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
    normal,
    published,
    randomised,
    trained,
)


@pytest.fixture(scope="module")
def sru() -> Any:
    """Importing it compiles C++, which takes up to a minute the first time."""
    if not (shutil.which("c++") and shutil.which("ninja")):
        pytest.skip("sru compiles C++ when it is imported; c++ and ninja are missing")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no CUDA, and old annotations
        return published("sru")


@pytest.mark.filterwarnings("ignore:Running SRU on CPU with grad_enabled")
@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
@pytest.mark.parametrize(("D", "H"), [(3, 5), (5, 5)])
def test_sru_is_that_of_its_authors(sru: Any, D: int, H: int, given: bool) -> None:
    """Where D = H theirs carries the input itself on the highway, times a constant; ours always
    carries a projection, here the identity times that constant."""
    cell = randomised(sru.SRUCell(D, H))
    parts = cell.weight.reshape(D, H, -1).unbind(-1)
    names = ["u.x.weight", "f.x.weight", "r.x.weight", "w.x.weight"]
    weights = {name: part.t() for name, part in zip(names, parts, strict=False)}
    if D == H:
        weights["w.x.weight"] = cell.scale_x * torch.eye(H, dtype=torch.float64)
    weights["v_f"], weights["v_r"] = cell.weight_c.chunk(2)
    weights["f.bias"], weights["r.bias"] = cell.bias.chunk(2)

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        h, c = cell(x, None if states is None else states[0])
        return h, (c,)

    states = (normal(BATCH, H, seed=2),) if given else None
    layer = rnndsl.layer("sru", D, H, dtype=torch.float64)
    assert_same(layer, Published(trained(cell), weights, run), states)
