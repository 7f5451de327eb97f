"""The backend ``auto``: who runs a layer, and what happens where TVM cannot."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import rnndsl
from rnndsl.backends.torch import automatic
from rnndsl.diagnostics import RnndslError

torch.set_num_threads(1)


@pytest.fixture
def without_tvm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(automatic, "find_spec", lambda name: None)
    automatic.tvm_is_installed.cache_clear()
    yield
    automatic.tvm_is_installed.cache_clear()


def test_tensors_decide_who_runs() -> None:
    pytest.importorskip("tvm", reason="TVM is not installed")
    assert automatic.backend_for(torch.zeros(1)) == "tvm"
    assert automatic.backend_for(torch.zeros(1, dtype=torch.float64)) == "tvm"
    assert automatic.backend_for(torch.zeros(1, dtype=torch.bfloat16)) == "tvm"
    assert automatic.backend_for(torch.zeros(1, dtype=torch.complex64)) == "torch"
    assert automatic.backend_for(torch.zeros(1, device="meta")) == "torch"


@pytest.mark.usefixtures("without_tvm")
def test_without_tvm_one_line_is_logged_and_torch_runs(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    layer = rnndsl.layer("lstm", 3, 6, backend="auto")
    exact = rnndsl.layer("lstm", 3, 6, backend="torch")
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, 3)
    with caplog.at_level(logging.WARNING, "rnndsl"):
        found = [layer(x)[0] for _ in range(3)]
        rnndsl.layer("gru", 3, 6, backend="auto")(x)
    assert torch.equal(found[0], exact(x)[0])
    assert [record.getMessage() for record in caplog.records] == [automatic._MISSING]


def test_a_cell_that_tvm_cannot_compile_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tvm", reason="TVM is not installed")
    from rnndsl.backends.tvm.lower_loops import LOOPS

    monkeypatch.delitem(LOOPS, "cumsum")
    cell = rnndsl.parse(
        "cell C(D):\n    input x: [D]\n    state seen: [D]\n"
        "    seen' = 0.5 * seen + cumsum(x)\n    return seen'\n"
    )
    with pytest.raises(RnndslError, match="cannot compile `cumsum`") as caught:
        rnndsl.layer(cell, 3, backend="auto")(torch.randn(4, 2, 3))
    assert "seen' = 0.5 * seen + cumsum(x)" in str(caught.value)


def test_copies_and_pickles_keep_the_backend() -> None:
    layer = rnndsl.layer("gru", 3, 5, backend="auto")
    x = torch.randn(4, 2, 3)
    y, _ = layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.first.request.backend == "auto"
        assert torch.equal(other(x)[0], y)
        assert torch.equal(
            pickle.loads(pickle.dumps(other.first)).tensor("r.bias"), other.first.tensor("r.bias")
        )


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_threads_that_share_a_layer_get_what_one_gets(backend: str) -> None:
    torch.manual_seed(0)
    layer = rnndsl.layer("gru", 5, 7, num_layers=2, backend=backend)  # compiled in the threads
    inputs = [torch.randn(3 + k, 2, 5) for k in range(8)]

    def gradient(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(layer(x)[0].sin().sum(), list(layer.parameters()))

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(gradient, inputs * 3))
    for x, gradients in zip(inputs * 3, found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(gradients, gradient(x), strict=True))
