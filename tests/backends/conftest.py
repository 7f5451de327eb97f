"""Fixtures of the tests of layers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch

from rnndsl.backends.torch import build
from rnndsl.backends.tvm import worker

_needs_tvm = pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")


@pytest.fixture(params=["torch", pytest.param("tvm", marks=_needs_tvm)])
def each_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Layers that name no backend run on this one; under ``tvm`` they are ``auto`` layers."""
    found: str = request.param
    if found == "torch":
        choose = build.choose_backend
        monkeypatch.setattr(
            build, "choose_backend", lambda name: choose("torch" if name == "auto" else name)
        )
    return found


@pytest.fixture
def all_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every kernel is worth as many threads as there are."""
    monkeypatch.setattr(worker, "worthwhile", lambda stages, steps, batch, most: most)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
