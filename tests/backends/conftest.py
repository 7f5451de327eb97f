"""Fixtures of the tests of layers."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from rnndsl.backends.torch import build

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
