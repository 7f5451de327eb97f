"""A case as a table: with rules on a terminal, plain columns otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from rnndsl.bench.report import Case, Entry, Report, key, write_report
from rnndsl.commands.listing import Rows, table

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def seconds_text(seconds: float) -> str:
    """Three digits with a unit: ``10.2 ms``."""
    scale, unit = next((u for u in _UNITS if seconds >= u[0]), _UNITS[-1])
    value = seconds / scale
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def heading(case: Case) -> str:
    """``lstm, infer, T=35 B=20 D=200 H=200``"""
    sizes = " ".join(f"{name}={size}" for name, size in case.shape.items())
    extra = "".join(
        f", {name} = {value}" for name, value in {**case.numbers, **case.options}.items()
    )
    return f"{case.cell}, {case.mode}, {sizes}{extra}"


def columns(case: Case) -> tuple[str, ...]:
    """The names of the columns; a ratio for each of ours that was measured."""
    versus = (f"time / {name}" for name in _ours(case))
    work = ("GFLOP/s", "of matrix rate", "of roofline")
    return ("", "median", "quartiles", "predicted", *versus, *work, "peak memory", "compile")


def rows(case: Case) -> Rows:
    return [_row(case, entry) for entry in case.entries]


def _ours(case: Case) -> list[str]:
    return [entry.name for entry in case.entries if entry.ours]


def _row(case: Case, entry: Entry) -> tuple[str, ...]:
    ratios = (f"{entry.ratios[o]:.2f}" if o in entry.ratios else "" for o in _ours(case))
    peak = "unknown" if entry.peak_bytes is None else f"{entry.peak_bytes / 2**20:.1f} MB"
    time = entry.time
    return (
        entry.name,
        seconds_text(time.median),
        f"{seconds_text(time.lower)} - {seconds_text(time.upper)}",
        "" if entry.predicted_seconds is None else seconds_text(entry.predicted_seconds),
        *ratios,
        f"{entry.flops_per_second / 1e9:.2f}",
        f"{entry.matrix_share:.1%}",
        f"{entry.roofline_share:.1%}",
        peak,
        seconds_text(entry.compile_seconds),
    )


def printing(known: Report, path: Path | None) -> Callable[[Report], None]:
    """What prints the cases that a report has beyond those of ``known``, or has anew, each
    once, and writes the report, so that a later failure loses nothing."""
    shown = {(key(case), case.started) for case in known.cases}
    failed = dict(known.failures)

    def keep(report: Report) -> None:
        for case in report.cases:
            if (key(case), case.started) not in shown:
                print_case(case)
                shown.add((key(case), case.started))
        for what, reason in report.failures.items():
            if failed.get(what) != reason:
                print(f"{what}: {reason}\n", flush=True)
        failed.update(report.failures)
        if path is not None:
            write_report(path, report)

    return keep


def print_case(case: Case) -> None:
    """Print a case to standard output, and why peers are missing."""
    if sys.stdout.isatty():
        _print_rich(case)
    else:
        print(heading(case))
        print(table(columns(case), rows(case)))
    for name, reason in case.missing.items():
        print(f"{name} is missing: {reason}")
    print(flush=True)


def _print_rich(case: Case) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False, title=heading(case), title_justify="left")
    for column in columns(case):
        shown.add_column(column, justify="right" if column else "left")
    for entry, row in zip(case.entries, rows(case), strict=True):
        shown.add_row(*(Text(text) for text in row), style="bold" if entry.ours else None)
    Console().print(shown)
