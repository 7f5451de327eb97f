"""docs/search.md: every space, command and program in it works."""

from __future__ import annotations

import argparse
import random
import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="searching needs Optuna")
torch = pytest.importorskip("torch")

from rnndsl.search.candidate import read_candidate
from rnndsl.search.counting import Counter
from rnndsl.search.fill import fill_derivation
from rnndsl.search.generated import DEEPEST, DEFAULT_DEPTH
from rnndsl.search.loop import FAVOURITES, PATIENCE
from rnndsl.search.measures import MEASURES
from rnndsl.search.objective import TrainSettings
from rnndsl.search.operators import DEFAULT_OPERATORS, LINEAR, MATRIX, OPERATORS
from rnndsl.search.options import add_arguments, check_budgets, train_settings
from rnndsl.search.orphans import STRIKES
from rnndsl.search.reading import candidate_text, list_spaces, load_space, read_space
from rnndsl.search.record import STATES
from rnndsl.search.rungs import PRUNERS
from rnndsl.search.samplers import sampler
from rnndsl.search.screen import LARGEST, STEPS
from rnndsl.search.seeds import BEST
from rnndsl.training.tasks import TASKS

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


def commands(text: str) -> list[list[str]]:
    """The searches in a block, continued lines joined, as words after `rnndsl search`."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [shlex.split(line.removeprefix("srun ")) for line in lines]
    return [words[2:] for words in found if words[:2] == ["rnndsl", "search"]]


def test_search_commands_of_the_page_are_understood() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    found = [words for name in ("sh", "slurm") for b in blocks(name) for words in commands(b)]
    assert len(found) == 12
    for words in found:
        args = parser.parse_args(words)
        check_budgets(args)
        named = args.space in list_spaces()
        assert named or args.rerun is not None or args.recipes is not None
        assert train_settings(args).places.places
        sampler(args.sampler)
        assert args.task is None or args.task in (*TASKS, "char", "word")


def test_the_job_of_the_page_is_one() -> None:
    yaml = pytest.importorskip("yaml", reason="Optuna brings PyYAML")
    (text,) = blocks("yaml")
    job = yaml.safe_load(text)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["rnndsl", "search"]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(container["command"][2:])
    assert args.storage.startswith("grpc://") and args.workers == 4


def test_the_batch_script_of_the_page_is_shell() -> None:
    (text,) = blocks("slurm")
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_tasks_of_the_page_are_all_there_are() -> None:
    assert all(f"| `{name}` |" in PAGE for name in TASKS)


def test_the_program_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    (program,) = (text for text in blocks("python") if "run_search" in text)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    runpy.run_path(str(tmp_path / "program.py"))
    torch.set_num_threads(threads)
    assert (tmp_path / "study" / "winner.rnn").exists()


def test_tables_and_numbers_of_the_page_are_current() -> None:
    flat = " ".join(PAGE.split())
    assert all(f"| `{name}` |" in PAGE for name in list_spaces())
    for total in (Counter(load_space(name)).total for name in list_spaces()):
        assert f"| {total:,} |" in PAGE or f" {total:.1e}".replace("e+", "e") in PAGE
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert f"that ships: {', '.join(list_spaces())}" in " ".join(parser.format_help().split())
    assert all(f"`{kind}`" in PAGE for kind in [*STATES, "duplicate"])
    assert f"out of `{' '.join([*OPERATORS, LINEAR, MATRIX])}`" in flat
    assert f"`{' '.join(DEFAULT_OPERATORS)}` when it is left out" in flat
    assert f"from 0 to {DEEPEST} ({DEFAULT_DEPTH} when it is left out)" in flat
    assert f"exceeds {LARGEST:,.0f} or is not finite within {STEPS} steps" in flat
    assert FAVOURITES == 10 and "ten times in a row" in flat
    assert f"after {PATIENCE} proposals without one" in flat
    assert STRIKES == 3 and "One that three processes died of" in flat
    assert BEST == 3 and "trains the three best cells" in flat
    assert str(TrainSettings().places.places) == "(50, 100, 200, 400)"
    assert "after 50, 100, 200 and 400 steps" in flat
    assert all(f"`{name}`" in PAGE for name in (*PRUNERS, *MEASURES))


def test_features_of_the_page_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = (text for text in blocks("python") if "structural_features" in text)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    runpy.run_path(str(tmp_path / "program.py"))
    assert capsys.readouterr().out.startswith("3.0\n-")
