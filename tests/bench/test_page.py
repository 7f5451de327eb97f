"""docs/performance.md is what its script would write from the recorded results."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from rnndsl.bench.report import FORMAT
from rnndsl.cell import list_cells

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "run `python docs/make_performance.py`"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = DOCS / "make_performance.py"
    spec = importlib.util.spec_from_file_location("make_performance", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(script: ModuleType) -> None:
    assert (DOCS / "performance.md").read_text(encoding="utf-8") == script.page(), AGAIN


def test_every_result_is_on_the_page(script: ModuleType) -> None:
    found = script.results()
    files = {path.stem for path in (DOCS / "performance").glob("*.json")}
    assert files == set(found) <= set(list_cells())
    for report in found.values():
        assert report["format"] == FORMAT and not report["interrupted"]
        assert len(report["cases"]) == 2 * len(script.SHAPES)
        assert f"`{report['command']}`" in script.page()
