"""An objective that trains nothing, a quiet display, and a search in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnndsl.cell import Cell
from rnndsl.search.objective import Report
from rnndsl.search.reading import read_space
from rnndsl.search.record import Outcome, TrialRecord
from rnndsl.search.results import Leaderboard
from rnndsl.search.samplers import sampler
from rnndsl.search.seeds import Repeats
from rnndsl.search.study import SearchResult, SearchSettings, run_search

SPACE = """\
space S(D, H):
    input x: [D]
    state h: [H]

    g = sigmoid(?expr(x, h, depth = 1))
    u = ?act(tanh | sin | relu)(linear[H](x, ?(h | g * h)))

    h' = g * h + (1 - g) * u
    return h'
"""


def score_of(text: str) -> float:
    """Any fixed function of the text: short cells, and those with a sine, do well."""
    return len(text) / 100 - 0.5 * text.count("sin(")


@dataclass
class Stub:
    """Scores texts; ``hook`` may raise or wait before a cell is scored."""

    hook: Callable[[str, Report], Outcome | None] = lambda text, report: None
    trained: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    unit: str = "points"

    @property
    def settings(self) -> dict[str, Any]:
        return {"baseline": "a fixed score", **self.extra}

    def baseline(self, report: Report) -> Outcome:
        self.trained.append("baseline")
        return Outcome("scored", 3.0, facts={"parameters": 100, "width": 4})

    def evaluate(self, cell: Cell, report: Report) -> Outcome:
        text = str(cell)
        self.trained.append(text)
        outcome = self.hook(text, report)
        facts = {"parameters": 100, "width": 4, "steps": 1, "seconds": 0.0}
        return outcome or Outcome("scored", score_of(text), facts=facts)


@dataclass
class Quiet:
    """A display that remembers."""

    records: list[TrialRecord] = field(default_factory=list)
    resumes: list[tuple[int, int]] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)

    def resumed(self, done: int, orphans: int) -> None:
        self.resumes.append((done, orphans))

    def baseline(self, record: TrialRecord) -> None: ...

    def rung(self, trial: int | None, rung: int, score: float) -> None: ...

    def finished(self, record: TrialRecord, board: Leaderboard) -> None:
        self.records.append(record)

    def died(self, how: str, orphans: int) -> None:
        self.deaths.append(how)

    def repeated(self, subject: str, scores: Repeats) -> None: ...


def search(
    folder: Path,
    objective: Stub | None = None,
    *,
    name: str = "random",
    trials: int = 6,
    seed: int = 0,
    text: str = SPACE,
    watcher: Quiet | None = None,
) -> SearchResult:
    """A search with the stub."""
    settings = SearchSettings(
        read_space(text), sampler(name), folder, seed=seed, trials=trials, command="rnndsl search"
    )
    return run_search(settings, objective or Stub(), watcher or Quiet())


def main(folder: str, name: str, trials: str, mode: str) -> None:
    """Search; ``mode`` says what happens at the third cell: nothing, death, or a long wait."""
    done = 0

    def hook(text: str, report: Report) -> Outcome | None:
        nonlocal done
        done += 1
        if done == 3 and mode == "die":
            report(1, 2.0)
            os.kill(os.getpid(), signal.SIGKILL)
        if done == 3 and mode == "wait":
            print("waiting", flush=True)
            time.sleep(60)
        return None

    watcher = Quiet()
    result = search(Path(folder), Stub(hook), name=name, trials=int(trials), watcher=watcher)
    for record in watcher.records:
        print(record.number, record.kind, record.score, sorted(record.choices.items()))
    sys.exit(130 if result.ended == "interrupted" else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
