"""What a search shows: a live table on a terminal, a line per trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rnndsl.search.record import TRAINED, TrialRecord
from rnndsl.search.results import Leaderboard, table_rows
from rnndsl.search.seeds import Repeats, mean_and_error
from rnndsl.search.study import SearchResult
from rnndsl.search.throughput import Throughput
from rnndsl.search.watch import Watcher

SHOWN = 10  # rows of the leaderboard
_CHOICES = 60  # characters


class LineDisplay:
    """One line for each trial."""

    def __init__(self, stream: TextIO, unit: str) -> None:
        self.stream, self.unit = stream, unit

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def resumed(self, done: int, orphans: int) -> None:
        self.say(resumed_line(done, orphans))

    def baseline(self, record: TrialRecord) -> None:
        self.say(f"baseline    {result_text(record, self.unit)}")

    def rung(self, trial: int | None, rung: int, score: float) -> None:
        """Nothing: a line for each rung would be too many."""

    def died(self, how: str, orphans: int) -> None:
        self.say(died_line(how, orphans))

    def repeated(self, subject: str, scores: Repeats) -> None:
        self.say(f"seeds of {_subject(subject)}: {repeats_text(scores)}")

    def finished(self, record: TrialRecord, board: Leaderboard) -> None:
        best = "  (best)" if board.winner and board.winner.number == record.number else ""
        choices = choices_text(record) if record.kind in TRAINED else ""
        self.say(f"trial {record.number:<5} {result_text(record, self.unit)}{best}  {choices}")


class TableDisplay(LineDisplay):
    """The leaderboard so far, redrawn after each trial, and what is being trained below it."""

    def __init__(self, live: Live, unit: str) -> None:
        super().__init__(sys.stdout, unit)
        self.live = live
        self.board: Leaderboard | None = None
        self.running: dict[str, str] = {}  # how the trials under way are doing
        self.last = ""

    def say(self, text: str) -> None:
        self.live.console.print(text, highlight=False)

    def rung(self, trial: int | None, rung: int, score: float) -> None:
        name = "baseline" if trial is None else f"trial {trial}"
        self.running[name] = f"training {name}: {score:.3f} {self.unit} after {rung} steps"
        self._draw()

    def baseline(self, record: TrialRecord) -> None:
        self.running.pop("baseline", None)
        super().baseline(record)

    def died(self, how: str, orphans: int) -> None:
        self.running.clear()  # those that live will soon be heard of again
        super().died(how, orphans)

    def repeated(self, subject: str, scores: Repeats) -> None:
        self.last = f"seeds of {_subject(subject)}: {repeats_text(scores)}"
        self._draw()

    def finished(self, record: TrialRecord, board: Leaderboard) -> None:
        self.board = board
        self.running.pop(f"trial {record.number}", None)
        self.last = f"trial {record.number}: {result_text(record, self.unit)}"
        self._draw()

    def _draw(self) -> None:
        lines = [Text(line, style="dim") for line in [self.last, *self.running.values()] if line]
        if self.board is None:
            self.live.update(Group(*lines))
            return
        counts = Text(counts_text(self.board), style="dim")
        self.live.update(Group(leaderboard_table(self.board), counts, *lines))


@contextmanager
def open_display(unit: str, stream: TextIO | None = None) -> Iterator[Watcher]:
    """A live table when ``stream`` (standard output) is a terminal, else plain lines."""
    stream = sys.stdout if stream is None else stream
    console = Console(file=stream)
    if not console.is_terminal:
        yield LineDisplay(stream, unit)
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        yield TableDisplay(live, unit)


def print_end(result: SearchResult, stream: TextIO | None = None) -> None:
    """The leaderboard and how the search ended."""
    console = Console(file=sys.stdout if stream is None else stream)
    if not console.is_terminal:
        console.width = 120  # a pipe has no width
    console.print(leaderboard_table(result.board))
    console.print(counts_text(result.board), highlight=False)
    if result.throughput is not None:
        for line in throughput_lines(result.throughput):
            console.print(line, highlight=False)


def leaderboard_table(board: Leaderboard) -> Table:
    """The best cells, with the baseline in its place among them."""
    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("cell")
    for unit in board.units:
        table.add_column(unit, justify="right")
    table.add_column("parameters", justify="right")
    table.add_column("width", justify="right")
    table.add_column("choices", overflow="ellipsis", no_wrap=True, max_width=_CHOICES)
    rows = table_rows(board)
    for row in [r for r in rows if r["rank"] is not None and (r["rank"] <= SHOWN or r["baseline"])]:
        choices = "; ".join(f"{name} = {label}" for name, label in row["choices"].items())
        table.add_row(
            str(row["rank"]),
            row["cell"],
            *("" if row[unit] is None else f"{row[unit]:.3f}" for unit in board.units),
            f"{row['parameters']:,}" if row["parameters"] else "",
            str(row["width"] or ""),
            Text(choices),
            style="bold" if row["baseline"] else None,
        )
    return table


def resumed_line(done: int, orphans: int) -> str:
    """``resuming: 12 cells are trained; 1 trial lost its process and is done again``"""
    again = ""
    if orphans:
        lost = "trial lost its process and is" if orphans == 1 else "trials lost theirs and are"
        again = f"; {orphans} {lost} done again"
    return f"resuming: {done} cell{'s are' if done != 1 else ' is'} trained{again}"


def died_line(how: str, orphans: int) -> str:
    """``a worker died (signal 9); its trial is done again``"""
    again = "; its trial is done again" if orphans else ""
    return f"a worker died ({how}){again}; another takes its place"


def repeats_text(scores: Repeats) -> str:
    """``valid 2.214 ± 0.003, test 2.301 ± 0.004 (5 seeds)``"""
    parts = []
    for name, values in (("valid", scores.valid), ("test", scores.test)):
        if values:
            mean, error = mean_and_error(values)
            parts.append(f"{name} {mean:.3f}" + (f" ± {error:.3f}" if error is not None else ""))
    return f"{', '.join(parts)} ({len(scores.valid)} seed{'s' * (len(scores.valid) != 1)})"


def throughput_lines(found: Throughput) -> list[str]:
    """How many cells an hour, and where the time went."""
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.shares.items())
    static = ""
    if found.static:
        static = f"; {found.static} not trained, {found.static_seconds * 1e3:.0f} ms each"
    cells = f"{found.per_hour:,.0f} trained cells an hour"
    counted = f"({found.trained} in {found.seconds:,.0f} s)"
    return [f"{cells} {counted}{static}", f"the time went to: {shares}"]


def _subject(subject: str) -> str:
    return subject if subject == "baseline" else f"trial {subject}"


def result_text(record: TrialRecord, unit: str) -> str:
    """``2.214 bits/char``, or what became of it."""
    if record.kind == "scored":
        others = "".join(f", {score:.4g}" for score in record.scores[1:])
        return f"{record.score:.3f} {unit}{others}"
    return f"{record.kind}: {record.reason}" if record.reason else record.kind


def choices_text(record: TrialRecord) -> str:
    """``g = tanh; u = relu``, cut where it gets long."""
    text = "; ".join(f"{name} = {label}" for name, label in record.choices.items())
    return text if len(text) <= _CHOICES else text[: _CHOICES - 1] + "…"


def counts_text(board: Leaderboard) -> str:
    """``proposed 40: 24 scored, 9 pruned, 4 rejected, 3 duplicate``"""
    kinds = ", ".join(f"{count} {kind}" for kind, count in board.counts.items())
    return f"proposed {sum(board.counts.values())}: {kinds}" if kinds else "nothing was proposed"
