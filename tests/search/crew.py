"""A search in a process of its own, with workers that train nothing, slowly."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnndsl.cell import Cell
from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import NoSpace
from rnndsl.search.objective import Report
from rnndsl.search.reading import read_space
from rnndsl.search.record import Outcome
from rnndsl.search.samplers import sampler
from rnndsl.search.study import SearchSettings, run_search
from tests.search.stub import SPACE, Quiet, score_of

LARGE = SPACE.replace("depth = 1", "depth = 2")


@dataclass(frozen=True)
class Slow:
    """Scores texts, once there is a file ``gate``; ``deadly`` texts end the process."""

    gate: str = ""
    deadly: str = ""
    unit: str = "points"
    bad: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        return {"baseline": "a fixed score"}

    def baseline(self, report: Report) -> Outcome:
        if self.bad:
            raise RnndslError(NoSpace(None, "nothing"))
        return Outcome("scored", 3.0, facts={"parameters": 100, "width": 4})

    def evaluate(self, cell: Cell, report: Report) -> Outcome:
        text = str(cell)
        if self.deadly and self.deadly in text:
            os.kill(os.getpid(), signal.SIGKILL)
        report(1, score_of(text) + 1)
        while self.gate and not Path(self.gate).exists():
            time.sleep(0.02)
        return Outcome("scored", score_of(text), facts={"parameters": 100, "width": 4})


def settings(
    folder: Path, *, url: str | None = None, workers: int = 2, trials: int = 8, text: str = LARGE
) -> SearchSettings:
    """A search of some cells at random."""
    return SearchSettings(
        read_space(text),
        sampler("random"),
        folder,
        trials=trials,
        storage=url,
        workers=workers,
    )


def main(folder: str, url: str, workers: str, trials: str, gate: str) -> None:
    """Search; exit with 130 after Ctrl-C."""
    made = settings(Path(folder), url=url or None, workers=int(workers), trials=int(trials))
    result = run_search(made, Slow(gate), Quiet())
    sys.exit(130 if result.ended == "interrupted" else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
