"""Studies of the tests need not outlive a power cut."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _without_drawings(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "drawings" not in request.fixturenames:
        loop = pytest.importorskip("rnndsl.search.loop", reason="searching needs Optuna")
        monkeypatch.setattr(loop, "attach", lambda *given: None)


@pytest.fixture
def drawings() -> None:
    """Asked for by tests that look at what is attached to trials."""


@pytest.fixture(autouse=True)
def _without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
