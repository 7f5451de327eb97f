"""A run of the benchmark over several cases; Ctrl-C keeps what was measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from rnndsl.bench import machine
from rnndsl.bench.cases import Shape
from rnndsl.bench.peers import Peer
from rnndsl.bench.problem import Options, make_problem
from rnndsl.bench.report import Report, case_key, spread
from rnndsl.bench.report import key as key_of
from rnndsl.bench.runner import FAILED, Tell, measure
from rnndsl.cell import Cell
from rnndsl.diagnostics import RnndslError


@dataclass(frozen=True, slots=True)
class Planned:
    """A case that is to be measured."""

    source: str
    cell: Cell
    mode: str
    shape: Shape
    numbers: Mapping[str, int | float]
    options: Options = field(default_factory=dict)

    @property
    def key(self) -> str:
        shape = self.shape
        sizes = (shape.steps, shape.batch, shape.input, shape.hidden)
        return case_key(self.source, self.mode, sizes, {**self.numbers, **self.options})


@dataclass(frozen=True)
class Session:
    """``keep`` is called with the report after each case, and once more when interrupted.

    With ``go_on`` a case that cannot be measured is noted, and the next one begins; otherwise
    its RnndslError ends the run.  ``limit`` is the time in which a peer must be ready; no case
    begins later than ``within`` seconds after the first.  What was measured before ``since``
    (an ISO time in UTC) is replaced; what is later stays if it is steadier.
    """

    peers: Sequence[Peer]
    seconds: float
    limit: float
    go_on: bool
    tell: Tell
    keep: Callable[[Report], None]
    within: float = math.inf
    since: str = ""

    def run(self, report: Report, planned: Sequence[Planned]) -> Report:
        """Measure each case.  While timing, Ctrl-C ends the case after the present turn;
        before that it drops the case.  Either way it ends the run."""
        report, begun = replace(report, interrupted=False), time.monotonic()
        self.tell("measuring the machine")
        rates = machine.measure_rates()
        try:
            for place, case in enumerate(planned, start=1):
                if time.monotonic() - begun > self.within:
                    break
                report, interrupted = self._one(report, case, rates, f"{place} of {len(planned)}, ")
                if interrupted:
                    raise KeyboardInterrupt
                self.keep(report)
        except KeyboardInterrupt:
            report = replace(report, interrupted=True)
            self.keep(report)
        return report

    def _one(
        self, report: Report, case: Planned, rates: machine.Rates, place: str
    ) -> tuple[Report, bool]:
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            problem = make_problem(
                case.cell, case.shape, case.mode, case.numbers, case.source, case.options
            )
            found, interrupted = measure(
                problem, self.peers, self.seconds, lambda text: self.tell(place + text), self.limit
            )
        except RnndslError as error:
            if not self.go_on:
                raise
            title = error.diagnostics[0].title_text()
            return report.with_failure(case.key, title), False
        found = replace(found, started=started, load=machine.load())
        return report.with_case(found, rates, self.since), interrupted


def still_to_do(
    planned: Sequence[Planned],
    report: Report,
    peers: Sequence[Peer],
    steady: float,
    since: str = "",
) -> list[Planned]:
    """The cases that a report lacks, or has from before ``since``, or without some peer, or with
    a larger spread.

    Whoever failed is tried again."""
    wanted = {peer.name for peer in peers}
    done = set()
    for case in report.cases:
        settled = {name for name, reason in case.missing.items() if not reason.startswith(FAILED)}
        if case.started < since:
            continue
        if wanted <= {entry.name for entry in case.entries} | settled and spread(case) <= steady:
            done.add(key_of(case))
    return [case for case in planned if case.key not in done]
