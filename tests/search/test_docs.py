"""docs/search.md: every space, command and program in it works."""

from __future__ import annotations

import argparse
import random
import re
import runpy
import shlex
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="searching needs Optuna")
torch = pytest.importorskip("torch")

from rnndsl.search.candidate import read_candidate
from rnndsl.search.command import add_arguments
from rnndsl.search.counting import Counter
from rnndsl.search.fill import fill_derivation
from rnndsl.search.generated import DEEPEST, DEFAULT_DEPTH
from rnndsl.search.loop import FAVOURITES, PATIENCE
from rnndsl.search.operators import DEFAULT_OPERATORS, LINEAR, OPERATORS
from rnndsl.search.reading import candidate_text, list_spaces, read_space
from rnndsl.search.record import STATES
from rnndsl.search.screen import LARGEST, STEPS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of that language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", blocks("rnn"))
def test_spaces_of_the_page_have_cells_that_pass_the_checks(text: str) -> None:
    space = read_space(text)
    counter, generator = Counter(space), random.Random(0)
    for _ in range(5):
        derivation = counter.draw_by_size(generator)
        assert read_candidate(candidate_text(space, fill_derivation(space, derivation))).hash


def test_search_commands_of_the_page_are_understood() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("rnndsl search")]
    assert len(commands) == 3
    for words in commands:
        assert parser.parse_args(words).space in list_spaces()


def test_the_program_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    (program,) = blocks("python")
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    runpy.run_path(str(tmp_path / "program.py"))
    torch.set_num_threads(threads)
    assert (tmp_path / "study" / "winner.rnn").exists()


def test_tables_and_numbers_of_the_page_are_current() -> None:
    flat = " ".join(PAGE.split())
    assert all(f"| `{name}` |" in PAGE for name in list_spaces())
    assert all(f"`{kind}`" in PAGE for kind in [*STATES, "duplicate"])
    assert f"out of `{' '.join([*OPERATORS, LINEAR])}`" in flat
    assert f"`{' '.join(DEFAULT_OPERATORS)}` when it is left out" in flat
    assert f"from 0 to {DEEPEST} ({DEFAULT_DEPTH} when it is left out)" in flat
    assert f"exceeds {LARGEST:,.0f} or is not finite within {STEPS} steps" in flat
    assert FAVOURITES == 10 and "ten times in a row" in flat
    assert f"after {PATIENCE} proposals without one" in flat
