"""from_torch and gradcheck."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import rnndsl
from rnndsl.backends.torch import LayerOptionError
from tests.backends.reference import interpret

torch.set_num_threads(1)

MODULES: dict[str, Callable[..., nn.RNNBase]] = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN": nn.RNN,
    "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", MODULES)
def test_values_and_gradients_are_those_of_torch(
    kind: str, layers: int, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    theirs = MODULES[kind](3, 5, layers, bidirectional=bidirectional, dtype=torch.float64)
    ours = rnndsl.from_torch(theirs)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    results = []
    for module in (theirs, ours):
        stream = x.clone().requires_grad_()
        y, states = module(stream)
        states = states if isinstance(states, tuple) else (states,)
        loss = y.sin().sum() + sum(state.square().sum() for state in states)
        loss.backward()
        results.append((y, states, stream.grad))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)
    if kind == "LSTM":
        gradient = dict(theirs.named_parameters())["weight_hh_l0"].grad
        assert gradient is not None
        torch.testing.assert_close(ours.first.tensor("i.h.weight").grad, gradient.chunk(4)[0])


@pytest.mark.parametrize("kind", MODULES)
def test_float32_is_at_most_twice_as_far_from_exact_as_torch(kind: str) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        theirs = MODULES[kind](16, 32)
        ours = rnndsl.from_torch(theirs)
        x = torch.randn(20, 4, 16)
        exact = MODULES[kind](16, 32, dtype=torch.float64)
        exact.load_state_dict(theirs.state_dict())
        with torch.no_grad():
            wanted = exact(x.double())[0]
            their_error = (theirs(x)[0].double() - wanted).abs().max()
            our_error = (ours(x)[0].double() - wanted).abs().max()
        assert our_error <= 2 * their_error
        meant = interpret(rnndsl.from_torch(exact), {"x": x}).outputs["y"]
        np.testing.assert_allclose(meant, wanted, atol=1e-12)


def test_options_of_the_module_are_taken_over() -> None:
    theirs = nn.GRU(3, 5, 2, bias=False, batch_first=True, dropout=0.25).eval()
    ours = rnndsl.from_torch(theirs)
    assert not ours.training
    assert ours.options.batch_first and ours.options.dropout == 0.25
    assert not any(p.requires_grad for n, p in ours.named_parameters() if n.endswith("bias"))
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])


@pytest.mark.parametrize("grad", [False, True])
def test_what_is_frozen_stays_frozen(grad: bool) -> None:
    theirs = nn.LSTM(3, 5)
    theirs.weight_hh_l0.requires_grad_(False)
    theirs.bias_ih_l0.requires_grad_(False)
    with torch.set_grad_enabled(grad):
        ours = rnndsl.from_torch(theirs)
    frozen = {name for name, p in ours.first.named_parameters() if not p.requires_grad}
    assert frozen == {f"{gate}.h.weight" for gate in "ifgo"}


def test_what_cannot_be_converted_is_named() -> None:
    with pytest.raises(LayerOptionError, match="proj_size"):
        rnndsl.from_torch(nn.LSTM(3, 5, proj_size=2))
    with pytest.raises(LayerOptionError, match="nn.LSTM, nn.GRU and nn.RNN"):
        rnndsl.from_torch(nn.Linear(3, 5))  # type: ignore[arg-type]


def test_gradcheck_accepts_right_gradients() -> None:
    report = rnndsl.gradcheck("lstm")
    assert report, str(report)
    assert "layers" not in str(report)
    assert {"input x", "state h", "i.x.weight"} <= set(report.errors)


def test_gradcheck_shows_gradients_that_are_not_the_slope() -> None:
    cell = rnndsl.parse(
        "cell C(D, H):\n    input x: [D]\n    state h: [H]\n"
        "    h' = tanh(linear[H](x, h)) + 0.5 * h * stop_grad(h)\n    return h'\n"
    )
    report = rnndsl.gradcheck(cell)
    assert not report
    assert "too far" in str(report)
    assert "by design" in str(report)
    assert "by design" not in str(rnndsl.gradcheck("elman", samples=1, tolerance=0.0))


@pytest.mark.parametrize("name", rnndsl.list_cells())
def test_gradients_of_the_standard_library(name: str) -> None:
    report = rnndsl.gradcheck(name, samples=2, steps=2)
    assert report, str(report)


@pytest.mark.parametrize("kind", MODULES)
def test_code_written_for_torch_finds_the_same_attributes(kind: str) -> None:
    theirs = MODULES[kind](3, 5, 2, dropout=0.25, batch_first=True, bidirectional=True)
    ours = rnndsl.from_torch(theirs)
    for name in ("input_size", "hidden_size", "num_layers", "dropout"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.batch_first is theirs.batch_first
    assert ours.bidirectional is theirs.bidirectional
    ours.flatten_parameters()


def test_a_cell_without_a_dimension_has_no_such_attribute() -> None:
    layer = rnndsl.layer(rnndsl.parse("cell F(D):\n    input x: [D]\n    return 2 * x\n"), 3)
    assert layer.input_size == 3
    assert not hasattr(layer, "hidden_size")
