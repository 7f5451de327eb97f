"""Live progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from rnndsl.training.evaluate import format_loss
from rnndsl.training.progress import Progress

LINE_SECONDS = 10.0  # at most one plain line in this time, besides validations


class Display:
    """Shows progress; used as a context, called with each Progress."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def show(self, progress: Progress) -> None:
        """Show the state after a step."""


class LineDisplay(Display):
    """One line for each validation, and now and then one between."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.last = time.monotonic()

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        first = progress.step == 1
        if progress.valid_loss is None and not first and now - self.last < LINE_SECONDS:
            return
        self.last = now
        print(describe(progress), file=self.stream, flush=True)


class BarDisplay(Display):
    """A bar for the whole run, and a line above it for each validation."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("[bold]{task.fields[loss]}[/bold]"),
            TextColumn("{task.fields[speed]}"),
            _TimeLeft(),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("", total=None, epoch="1", loss="", speed="", eta=None)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.bar.stop()

    def show(self, progress: Progress) -> None:
        self.bar.update(
            self.task,
            completed=progress.step,
            total=progress.total_steps,
            epoch=_epoch(progress),
            loss=format_loss(progress.train_loss, progress.level),
            speed=_speed(progress),
            eta=progress.eta,
        )
        if progress.valid_loss is not None:
            self.console.print(describe(progress), highlight=False)


class _TimeLeft(ProgressColumn):
    """The run's own estimate: rich's knows nothing of a bound in seconds."""

    def render(self, task: Task) -> Text:
        eta = task.fields.get("eta")
        return Text("" if eta is None else f"{format_seconds(eta)} left")


def open_display(stream: TextIO | None = None) -> Display:
    """A bar when ``stream`` (standard output) is a terminal, else plain lines."""
    stream = sys.stdout if stream is None else stream
    console = Console(file=stream)
    return BarDisplay(console) if console.is_terminal else LineDisplay(stream)


def describe(progress: Progress) -> str:
    """``step 245/1225  epoch 1/5  train 2.410 bits/char  valid 2.213 bits/char  …``"""
    total = "" if progress.total_steps is None else f"/{progress.total_steps}"
    parts = [
        f"step {progress.step}{total}",
        f"epoch {_epoch(progress)}",
        f"train {format_loss(progress.train_loss, progress.level)}",
    ]
    if progress.valid_loss is not None:
        best = "  (best)" if progress.valid_loss <= progress.best_loss else ""
        parts.append(f"valid {format_loss(progress.valid_loss, progress.level)}{best}")
    parts.append(_speed(progress))
    if progress.eta is not None:
        parts.append(f"{format_seconds(progress.eta)} left")
    return "  ".join(parts)


def format_seconds(seconds: float) -> str:
    """``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _epoch(progress: Progress) -> str:
    return f"{progress.epoch}" if progress.epochs is None else f"{progress.epoch}/{progress.epochs}"


def _speed(progress: Progress) -> str:
    unit = "chars" if progress.level == "char" else "words"
    return f"{progress.tokens_per_second:,.0f} {unit}/s"
