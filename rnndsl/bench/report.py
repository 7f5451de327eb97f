"""What a run of the benchmark found, as data and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rnndsl.atomic import write_text_atomically
from rnndsl.bench.machine import Rates
from rnndsl.bench.memory import MEASURED
from rnndsl.bench.timing import Timing

FORMAT = "rnndsl bench 1"


@dataclass(frozen=True, slots=True)
class Entry:
    """One implementation in one case.

    ``time`` is in seconds of a call (of a step when streaming), ``ratios`` are this time by
    that of each of ours.  ``compile_seconds`` is what the first call took beyond a later one.
    ``matrix_share`` is the rate by that of a large matrix product, ``roofline_share`` the
    least possible time by the measured one (see :func:`under`).  ``error`` is the largest difference from the
    float64 result, in parts of what is allowed.
    """

    name: str
    ours: bool
    time: Timing
    ratios: dict[str, float]
    flops_per_second: float
    peak_bytes: int | None
    compile_seconds: float
    error: float
    matrix_share: float = math.nan
    roofline_share: float = math.nan


@dataclass(frozen=True, slots=True)
class Case:
    """A cell at a shape in a mode: who was measured, and why others were not."""

    cell: str
    mode: str
    shape: dict[str, int]
    numbers: dict[str, int | float]
    flops: int
    bytes: int
    entries: tuple[Entry, ...]
    missing: dict[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """A run: its command, the machine and how busy it was, and the cases."""

    command: str
    started: str
    machine: dict[str, Any]
    rates: dict[str, float]
    load: dict[str, float | None]
    cases: tuple[Case, ...] = ()
    interrupted: bool = False

    def with_case(self, case: Case, rates: Rates, load: float | None) -> Report:
        """With one more case; the shares of all become those of the best rates so far."""
        best = Rates(**self.rates).best(rates)
        return replace(
            self,
            cases=tuple(under(found, best) for found in (*self.cases, case)),
            rates=asdict(best),
            load={**self.load, "after": load},
        )


def under(case: Case, rates: Rates) -> Case:
    """The case with the shares of a machine of these rates."""
    least = rates.least_seconds(case.flops, case.bytes)
    entries = (
        replace(
            entry,
            matrix_share=entry.flops_per_second / rates.flops,
            roofline_share=least / entry.time.median,
        )
        for entry in case.entries
    )
    return replace(case, entries=tuple(entries))


def ratios(times: Mapping[str, float], ours: Mapping[str, bool]) -> dict[str, dict[str, float]]:
    """For each name its time by the time of each of ours: above 1, ours is faster."""
    return {
        name: {other: time / times[other] for other in times if ours[other] and other != name}
        for name, time in times.items()
    }


def to_json(report: Report) -> str:
    """The report as JSON text; times in seconds, sizes in bytes."""
    found = {"format": FORMAT, "memory": MEASURED, **asdict(report)}
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def write_report(path: Path, report: Report) -> None:
    """Write the report whole or not at all; RnndslError (E0123) if the file cannot be written."""
    write_text_atomically(path, to_json(report))
