"""Our cells against those of the package labml-nn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rnndsl
from tests.oracles.published import (
    BATCH,
    STEPS,
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

lstm = published("labml_nn.lstm")
highway = published("labml_nn.recurrent_highway_networks")
hyper_lstm = published("labml_nn.hypernetworks.hyper_lstm")

D, H = 3, 5
GIVEN = pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])


def _states(sizes: list[int], given: bool) -> States | None:
    return tuple(normal(BATCH, n, seed=k) for k, n in enumerate(sizes)) if given else None


def _frozen_at_zero(bias: Tensor) -> None:
    bias.detach().zero_()
    bias.requires_grad_(False)


def _norms(cell: Any, gates: str) -> dict[str, Tensor]:
    """Scales and shifts of one normalisation for each gate, and of the memory's."""
    found: dict[str, Tensor] = {}
    for gate, norm in zip([*gates, "h"], [*cell.layer_norm, cell.layer_norm_c], strict=True):
        found |= {f"{gate}.gamma": norm.weight, f"{gate}.beta": norm.bias}
    return found


def _lstm(cell: Any, weights: dict[str, Tensor]) -> Published:
    def step(x: Tensor, states: States) -> tuple[Tensor, States]:
        h, c = cell(x, *states)
        return h, (h, c)

    return Published(trained(cell), weights, stepwise(step, H, H))


@GIVEN
def test_lstm(given: bool) -> None:
    cell = randomised(lstm.LSTMCell(D, H))
    weights = {
        **chunks("ifgo", ".x.weight", cell.input_lin.weight),
        **chunks("ifgo", ".h.weight", cell.hidden_lin.weight),
        **chunks("ifgo", ".bias", cell.hidden_lin.bias),
    }
    layer = rnndsl.layer("lstm", D, H, dtype=torch.float64)
    assert_same(layer, _lstm(cell, weights), _states([H, H], given))


@GIVEN
def test_lstm_with_layer_normalisation(given: bool) -> None:
    """Theirs has no 1 in the forget gate, epsilon 1e-5, and a bias within the normalised sum,
    which ours leaves to the shift behind it: it is zero here."""
    cell = randomised(lstm.LSTMCell(D, H, layer_norm=True))
    _frozen_at_zero(cell.hidden_lin.bias)
    weights = {
        **chunks("ifgo", ".x.weight", cell.input_lin.weight),
        **chunks("ifgo", ".h.weight", cell.hidden_lin.weight),
        **_norms(cell, "ifgo"),
    }
    layer = rnndsl.layer("layernorm_lstm", D, H, dtype=torch.float64, forget=0, eps=1e-5)
    assert_same(layer, _lstm(cell, weights), _states([H, H], given))


@GIVEN
@pytest.mark.parametrize("depth", [1, 3])
def test_recurrent_highway_network(depth: int, given: bool) -> None:
    """Their cell, not their layer, which refuses given states."""
    cell = randomised(highway.RHNCell(D, H, depth))
    weights = chunks("aq", ".0.x.weight", cell.input_lin.weight)
    for level, linear in enumerate(cell.hidden_lin):
        weights |= chunks("aq", f".{level}.y.weight", linear.weight)
        weights |= chunks("aq", f".{level}.bias", linear.bias)

    def step(x: Tensor, states: States) -> tuple[Tensor, States]:
        s = cell(x, *states)
        return s, (s,)

    layer = rnndsl.layer("rhn", D, H, dtype=torch.float64, depth=depth)
    assert_same(layer, Published(trained(cell), weights, stepwise(step, H)), _states([H], given))


def _hyperlstm_weights(cell: Any) -> dict[str, Tensor]:
    """Their gates come as i, f, g, o; ours as i, j, f, o.  Their small cell reads h before x."""
    small = cell.hyper
    moved = torch.cat([small.input_lin.weight[:, H:], small.input_lin.weight[:, :H]], 1)
    parts = chunks("ifgo", ".x.weight", moved)
    parts |= chunks("ifgo", ".h.weight", small.hidden_lin.weight)
    norms = _norms(small, "ifgo")
    norms |= {"f.beta": norms["f.beta"] - 1}  # ours adds 1 to the forget gate
    weights = {f"k.{name}": value for name, value in (parts | norms).items()}
    for ours, gate in enumerate((0, 2, 1, 3)):
        for z, d, source in (("zx", "dx", "x"), ("zh", "dh", "h"), ("zb", "db", "b")):
            linear = getattr(cell, f"z_{source}")
            weights[f"{z}.{ours}.k.weight"] = linear.weight.chunk(4)[gate]
            if linear.bias is not None:
                weights[f"{z}.{ours}.bias"] = linear.bias.chunk(4)[gate]
            weights[f"{d}.{ours}.{z}.weight"] = getattr(cell, f"d_{source}")[gate].weight
        weights[f"db.{ours}.bias"] = cell.d_b[gate].bias
        weights[f"wx.{ours}.x.weight"] = cell.w_x[gate]
        weights[f"wh.{ours}.h.weight"] = cell.w_h[gate]
        norm = cell.layer_norm[gate]
        weights[f"a.{ours}.gamma"] = norm.weight
        weights[f"a.{ours}.beta"] = norm.bias - int(gate == 1)
    weights |= {"h.gamma": cell.layer_norm_c.weight, "h.beta": cell.layer_norm_c.bias}
    return weights


@GIVEN
def test_hyperlstm(given: bool) -> None:
    """Both run the small cell first.  Theirs has no 1 in the forget gates, epsilon 1e-5 (set to
    our 1e-3 here) and a bias within the small cell's normalised sums (zero here)."""
    small, z = 4, 2
    cell = randomised(hyper_lstm.HyperLSTMCell(D, H, small, z))
    _frozen_at_zero(cell.hyper.hidden_lin.bias)
    for module in cell.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-3

    def step(x: Tensor, states: States) -> tuple[Tensor, States]:
        found = cell(x, *states)
        return found[0], found

    theirs = Published(trained(cell), _hyperlstm_weights(cell), stepwise(step, H, H, small, small))
    layer = rnndsl.layer("hyperlstm", D, H, dtype=torch.float64, hyper=small, z=z)
    assert_same(layer, theirs, _states([H, H, small, small], given))


def test_attention_free_transformer() -> None:
    """Theirs computes all pairs of steps.  Without position biases, with a mask of the past and
    an identity behind it, it is the simple form; it has no states, so ours are not compared."""
    aft = published("labml_nn.transformers.aft")
    module = randomised(aft.AFTLocal(H, STEPS, STEPS, bias=False))
    module.pos_bias.detach().zero_()
    module.output.weight.detach().copy_(torch.eye(H))
    module.output.bias.detach().zero_()
    mask = torch.ones(STEPS, STEPS, dtype=torch.bool).tril()[:, :, None]

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        assert states is None
        return module(query=x, key=x, value=x, mask=mask), ()

    linears = {"q": module.query, "k": module.key, "v": module.value}
    weights = {f"{name}.x.weight": linear.weight for name, linear in linears.items()}
    layer = rnndsl.layer("aft", H, H, dtype=torch.float64)
    assert_same(layer, Published(list(weights.values()), weights, run))
