"""What a search tells while it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rnndsl.search.record import TrialRecord
    from rnndsl.search.results import Leaderboard
    from rnndsl.search.seeds import Repeats


class Watcher(Protocol):
    """What a display is told."""

    def resumed(self, done: int, orphans: int) -> None: ...
    def baseline(self, record: TrialRecord) -> None: ...
    def rung(self, trial: int | None, rung: int, score: float) -> None: ...
    def finished(self, record: TrialRecord, board: Leaderboard) -> None: ...
    def died(self, how: str, orphans: int) -> None: ...
    def repeated(self, subject: str, scores: Repeats) -> None: ...


class Listener(Protocol):
    """What one process tells of its own trials; whoever hears it reads the rest from the
    storage.  Trial None is the baseline."""

    def rung(self, trial: int | None, rung: int, score: float) -> None: ...
    def finished(self, trial: int | None) -> None: ...
