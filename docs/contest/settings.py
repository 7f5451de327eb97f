"""What is compared: the problems, the published cells, the searchers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rnndsl.search.objective import TrainSettings


@dataclass(frozen=True, slots=True)
class Problem:
    """A task, and how long a cell is trained on it: at the end, and in a search."""

    settings: TrainSettings
    search_steps: int

    @property
    def name(self) -> str:
        return self.settings.task


_TEXT = TrainSettings(task="char", steps=1500, hidden=64, eval_tokens=50_000, threads=1)
_TASK = TrainSettings(task="adding", steps=1000, hidden=32, threads=1)
PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(_TEXT, search_steps=300),
        Problem(_TASK, search_steps=300),
        Problem(replace(_TASK, task="mackey_glass", steps=600), search_steps=150),
    )
}

# Of the library: by people, or found by others and published.
PUBLISHED = ("lstm", "gru", "rhn", "nascell", "bc3", "darts")


@dataclass(frozen=True, slots=True)
class Search:
    """What a search starts from, a space or a cell, and its sampler on the command line.

    ``start`` is None for the published cell that is best on the problem's validation data.
    """

    start: str | None
    sampler: str


_SPACE = str(Path(__file__).resolve().parent / "gates.rnn")
# All train as many cells; "evolved" edits a published cell where the others begin with nothing.
SEARCHES = {
    "random": Search(_SPACE, "random"),
    "tpe": Search(_SPACE, "tpe"),
    "evolution": Search(_SPACE, "evolution"),
    "rl": Search(_SPACE, "rl"),
    "ranked": Search(_SPACE, "ranked:random"),
    "evolved": Search(None, "evolution"),
}
FINALISTS = 2  # of each search, tuned like everything else; the best of them is its contender

LEARNING_RATES = (4e-3, 8e-3, 16e-3, 32e-3)
TUNING_SEED = 1000
FINAL_SEEDS = (1, 2, 3, 4, 5)
