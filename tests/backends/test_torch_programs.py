"""Programs by handle: compiled ones are dropped when they are many, and come back."""

from __future__ import annotations

import gc
import importlib.util
import weakref

import pytest
import torch

import rnndsl
from rnndsl.backends.torch import programs
from rnndsl.backends.torch.calls import program_call
from rnndsl.backends.torch.program import ProgramTextError
from rnndsl.backends.torch.with_tvm import TvmStep


def test_a_dropped_program_is_compiled_again_when_its_gradient_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "MOST_RUNNERS", 2)
    layer = rnndsl.layer("lstm", 3, 4)
    parameters = list(layer.first.parameters())
    x = torch.randn(5, 2, 3)
    wanted = torch.autograd.grad(layer(x)[0].sum(), parameters)
    y = layer(x)[0]
    for hidden in range(5, 9):
        rnndsl.layer("gru", 3, hidden)(x)
    assert len(programs._runners) <= 2
    found = torch.autograd.grad(y.sum(), parameters)
    for ours, exact in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, exact, rtol=0, atol=0)


def test_an_unknown_handle_and_a_text_that_is_no_program_are_refused() -> None:
    with pytest.raises(KeyError):
        programs.find_runner("#unknown")
    with pytest.raises(ProgramTextError):
        programs.find_runner("not a program")


@pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="TVM is not installed")
def test_a_dropped_program_frees_the_memory_of_its_kernels_at_once() -> None:
    layer = rnndsl.layer("gru", 3, 5, backend="tvm")
    with torch.no_grad():
        layer(torch.zeros(4, 2, 3))
    handle, _ = program_call(layer.first.request, portable=False)
    step = programs.find_runner(handle).forward(torch.zeros(4, 2, 3)).step
    assert isinstance(step, TvmStep)
    kernel = weakref.ref(step.kernel(torch.zeros(1)))
    gc.disable()  # Python's search for cycles counts objects, not the bytes that they hold
    try:
        del programs._runners[handle], step
        assert kernel() is None
    finally:
        gc.enable()
