"""A run of the benchmark over several problems; Ctrl-C keeps what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from rnndsl.bench import machine
from rnndsl.bench.peers import Peer
from rnndsl.bench.problem import Problem
from rnndsl.bench.report import Report
from rnndsl.bench.runner import Tell, measure


@dataclass(frozen=True)
class Session:
    """``keep`` is called with the report after each case, and once more when interrupted."""

    command: str
    started: str
    peers: Sequence[Peer]
    seconds: float
    tell: Tell
    keep: Callable[[Report], None]

    def run(self, problems: Iterable[Callable[[], Problem]]) -> Report:
        """Measure each problem.  While timing, Ctrl-C ends the case after the present call;
        before that it drops the case.  Either way it ends the run."""
        nothing, load = asdict(machine.Rates(0.0, 0.0)), {"before": machine.load()}
        here = asdict(machine.describe())
        report = Report(self.command, self.started, here, nothing, load)
        try:
            for make in problems:
                self.tell("measuring the machine")
                rates = machine.measure_rates()
                case, interrupted = measure(make(), self.peers, self.seconds, self.tell)
                report = report.with_case(case, rates, machine.load())
                if interrupted:
                    raise KeyboardInterrupt
                self.keep(report)
        except KeyboardInterrupt:
            report = replace(report, interrupted=True)
            self.keep(report)
        return report
