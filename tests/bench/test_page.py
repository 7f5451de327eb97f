"""The pages of docs/ with measurements are what their script would write from the records."""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from rnndsl.bench.command import add_arguments

DOCS = Path(__file__).parents[2] / "docs"
KINDS = ("avx512", "avx2")
AGAIN = "run `python docs/make_performance.py`"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    path = DOCS / "make_performance.py"
    spec = importlib.util.spec_from_file_location("make_performance", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_current(script: ModuleType, kind: str) -> None:
    assert script.records.PAGES[kind].read_text(encoding="utf-8") == script.page(kind), AGAIN


@pytest.mark.parametrize("kind", KINDS)
def test_every_result_is_on_the_page(script: ModuleType, kind: str) -> None:
    found, text = script.results(kind), script.page(kind)
    records = {"calls", "compile_times", "lengths", "memory", "torch_compile"}
    files = {path.stem for path in script.records.folder(kind).glob("*.json")}
    assert files - records == set(found)
    for report in found.values():
        assert not report.interrupted
        for command in report.commands:
            assert f"`{command}`" in text
        for case in report.cases:
            assert f"| {case.source} |" in text
        for what in report.failures:
            assert what.split(",")[0] in text


def test_every_kind_of_processor_has_a_page(script: ModuleType) -> None:
    folders = {path.name for path in (DOCS / "performance").iterdir() if path.is_dir()}
    assert folders == set(script.records.PAGES) == set(KINDS)


def test_commands_of_the_page_are_ones_that_the_benchmark_takes(script: ModuleType) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for options in script.GROUPS.values():
        parser.parse_args([*options.split(), *script.COMMON.split()])


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_the_page_are_there(script: ModuleType, kind: str) -> None:
    for name in re.findall(r"\]\((.*?\.svg)\)", script.page(kind)):
        assert (DOCS / name).exists(), AGAIN
