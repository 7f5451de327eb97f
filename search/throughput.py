"""How many cells are trained an hour, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rnndsl.search.record import TRAINED, TrialRecord


@dataclass(frozen=True, slots=True)
class Throughput:
    """Of a number of trials: ``seconds`` on the clock, and of the time that their processes
    spent, which share on what.  ``static_seconds`` is the mean of a proposal that was rejected
    or repeated another."""

    trained: int
    seconds: float
    shares: Mapping[str, float]
    static: int = 0
    static_seconds: float = 0.0

    @property
    def per_hour(self) -> float:
        return self.trained / self.seconds * 3600 if self.seconds else 0.0


def throughput(records: Iterable[TrialRecord], seconds: float) -> Throughput:
    """The account of ``records``, which took ``seconds`` on the clock."""
    found = list(records)
    trained = [record for record in found if record.kind in TRAINED]
    static = [record for record in found if record.kind in ("rejected", "duplicate")]
    spent: dict[str, float] = {}
    for record in found:
        for name, value in record.facts.get("times", {}).items():
            spent[name] = spent.get(name, 0.0) + value
    total = sum(spent.values()) or 1.0
    ranked = sorted(spent.items(), key=lambda item: -item[1])
    checks = [record.facts.get("times", {}).get("check", 0.0) for record in static]
    return Throughput(
        trained=len(trained),
        seconds=seconds,
        shares={name: value / total for name, value in ranked if value / total >= 0.005},
        static=len(static),
        static_seconds=sum(checks) / len(checks) if checks else 0.0,
    )
