"""What a run of the benchmark found, as data and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rnndsl.atomic import write_text_atomically
from rnndsl.bench.machine import Rates
from rnndsl.bench.memory import MEASURED
from rnndsl.bench.timing import Timing

FORMAT = "rnndsl bench 2"


@dataclass(frozen=True, slots=True)
class Entry:
    """One implementation in one case.

    ``time`` is in seconds of a call (of a step when streaming), ``ratios`` are this time by
    that of each of ours.  ``compile_seconds`` is what the first call took beyond a later one.
    ``matrix_share`` is the rate by that of a large matrix product, ``roofline_share`` the
    least possible time by the measured one (see :func:`under`).  ``predicted_seconds`` is what
    the compiler expects of its plan.  ``error`` is the largest difference from the
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
    predicted_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A cell at a shape in a mode: who was measured, and why others were not; ``options`` are
    those of our layers that are not the usual ones.

    ``source`` is the cell as the command named it; ``load`` how many processes wanted to run
    in the minute before the end, ``started`` when it began."""

    source: str
    cell: str
    mode: str
    shape: dict[str, int]
    numbers: dict[str, int | float]
    flops: int
    bytes: int
    entries: tuple[Entry, ...]
    missing: dict[str, str]
    started: str = ""
    load: float | None = None
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """Runs on one machine: the commands, the machine, the cases, and what could not be
    measured, by case."""

    commands: tuple[str, ...]
    machine: dict[str, Any]
    rates: dict[str, float]
    cases: tuple[Case, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def with_case(self, case: Case, rates: Rates, since: str = "") -> Report:
        """With one more case, or with the steadier one if it was there already, measured
        ``since``; the shares of all become those of the best rates so far."""
        best = Rates(**self.rates).best(rates)
        cases = {key(found): found for found in self.cases}
        before = cases.get(key(case))
        stale = before is None or before.started < since or _names(before) != _names(case)
        if before is None or stale or spread(case) < spread(before):
            cases[key(case)] = case
        return replace(
            self,
            cases=tuple(under(found, best) for found in cases.values()),
            rates=asdict(best),
            failures={what: why for what, why in self.failures.items() if what != key(case)},
        )

    def with_failure(self, what: str, reason: str) -> Report:
        return replace(self, failures={**self.failures, what: reason})


def key(case: Case) -> str:
    """What a case is a measurement of."""
    return case_key(
        case.source, case.mode, tuple(case.shape.values()), {**case.numbers, **case.options}
    )


def case_key(
    source: str, mode: str, sizes: tuple[int, ...], numbers: Mapping[str, int | float | str]
) -> str:
    """``lstm, infer, 35,20,200,200``, with the cell's numbers and our options behind."""
    extra = "".join(f", {name}={value}" for name, value in sorted(numbers.items()))
    return f"{source}, {mode}, {','.join(map(str, sizes))}{extra}"


def spread(case: Case) -> float:
    """Half the distance between the quartiles, by the median, of the least steady entry."""
    return max(
        ((e.time.upper - e.time.lower) / 2 / e.time.median for e in case.entries), default=0.0
    )


def _names(case: Case) -> set[str]:
    return {entry.name for entry in case.entries} | set(case.missing)


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


def from_json(text: str) -> Report:
    """The inverse of :func:`to_json`; ValueError if it is nothing of the kind."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
            raise ValueError(f"it is not of the format {FORMAT!r}")
        del found["memory"]
        cases = tuple(map(_read_case, found.pop("cases")))
        return Report(commands=tuple(found.pop("commands")), cases=cases, **found)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks {error}") from None


def _read_case(found: dict[str, Any]) -> Case:
    entries = tuple(
        Entry(time=Timing(**entry.pop("time")), **entry) for entry in found.pop("entries")
    )
    return Case(entries=entries, **found)


def write_report(path: Path, report: Report) -> None:
    """Write the report whole or not at all; RnndslError (E0123) if the file cannot be written."""
    write_text_atomically(path, to_json(report))
