"""The pictures of the documentation are those that the script would draw today."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
AGAIN = "run `python docs/make_pictures.py`"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pictures", DOCS / "make_pictures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_are_current(script: ModuleType) -> None:
    expected = script.pictures()
    found = {p.name: p.read_text(encoding="utf-8") for p in (DOCS / "pictures").glob("*.svg")}
    stale = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    assert not stale, AGAIN


def test_the_gallery_is_current(script: ModuleType) -> None:
    assert (DOCS / "cells.md").read_text(encoding="utf-8") == script.gallery(), AGAIN
