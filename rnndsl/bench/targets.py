"""What the compiler is meant to reach, and whether results reach it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rnndsl.bench.machine import Rates
from rnndsl.bench.report import Case, Entry

# Where a peer is beyond this share of what the machine could do, so much is what is asked for.
ROOFLINE = 0.75


@dataclass(frozen=True, slots=True)
class Goal:
    """Ratios of a peer's time by ours that are wanted: each at least ``each``, and all of them
    ``mean`` in the geometric mean.  ``covers`` says which cases it is about."""

    what: str
    peer: str
    covers: Callable[[Case], bool]
    each: float = 0.0
    mean: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One ratio: ``wanted`` is the goal's, or less where the roofline is nearer."""

    case: Case
    ratio: float
    wanted: float

    @property
    def met(self) -> bool:
        return self.ratio >= self.wanted


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ratios that a goal is about, their geometric mean, and what is wanted of it."""

    goal: Goal
    findings: tuple[Finding, ...]
    mean: float
    wanted_mean: float

    @property
    def missed(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if not found.met)

    @property
    def met(self) -> bool:
        return not self.missed and self.mean >= self.wanted_mean

    @property
    def met_outright(self) -> bool:
        """Whether it is met without the roofline's help."""
        goal = self.goal
        return all(f.ratio >= goal.each for f in self.findings) and self.mean >= goal.mean


def judge(goal: Goal, cases: Iterable[Case], rates: Rates, ours: str) -> Verdict | None:
    """The verdict on a goal; None if no case of it was measured."""
    found = []
    limits = []
    for case in filter(goal.covers, cases):
        entries = {entry.name: entry for entry in case.entries}
        if ours not in entries or goal.peer not in entries:
            continue
        mine, peer = entries[ours], entries[goal.peer]
        limit = _nearest(case, peer, rates)
        limits.append(min(goal.mean, limit))
        ratio = peer.time.median / mine.time.median
        found.append(Finding(case, ratio, min(goal.each, limit)))
    if not found:
        return None
    ratios = [finding.ratio for finding in found]
    wanted = geometric_mean(limits) if goal.mean else 0.0
    return Verdict(goal, tuple(found), geometric_mean(ratios), wanted)


def _nearest(case: Case, peer: Entry, rates: Rates) -> float:
    """The ratio to a peer at which ours is as near to the roofline as is asked for."""
    return ROOFLINE * peer.time.median / rates.least_seconds(case.flops, case.bytes)


def geometric_mean(values: Sequence[float]) -> float:
    """NaN for none."""
    if not values:
        return math.nan
    return math.exp(sum(map(math.log, values)) / len(values))


def _is(
    mode: str,
    cells: Sequence[str] = (),
    but: Sequence[str] = (),
    batch: range = range(1, 1 << 30),
    hidden: range = range(1, 1 << 30),
) -> Callable[[Case], bool]:
    def covers(case: Case) -> bool:
        return (
            case.mode == mode
            and (not cells or case.source in cells)
            and case.source not in but
            and case.shape["B"] in batch
            and case.shape["H"] in hidden
        )

    return covers


_BOTH = ("lstm", "gru")
_ONE, _MANY = range(1, 2), range(16, 1 << 30)

GOALS: tuple[Goal, ...] = (
    Goal("LSTM, training step", "nn", _is("train", ["lstm"]), 1.0, 1.25),
    Goal("GRU, training step", "nn", _is("train", ["gru"]), 1.0, 1.25),
    Goal("LSTM, inference", "nn", _is("infer", ["lstm"]), 1.0, 1.4),
    Goal("GRU, inference", "nn", _is("infer", ["gru"]), 1.0, 1.4),
    Goal(
        "LSTM and GRU, inference, B = 1, H <= 128",
        "nn",
        _is("infer", _BOTH, batch=_ONE, hidden=range(1, 129)),
        2.0,
    ),
    Goal("LSTM and GRU, streaming, H <= 64", "nn", _is("stream", _BOTH, hidden=range(1, 65)), 4.0),
    Goal(
        "LSTM and GRU, streaming, H = 512", "nn", _is("stream", _BOTH, hidden=range(512, 513)), 2.5
    ),
    Goal("LSTM and GRU, streaming", "ort", _is("stream", _BOTH), 1.5),
    Goal("every cell, streaming", "ort_scan", _is("stream"), 3.0),
    Goal("other cells, training step, B = 1", "eager", _is("train", but=_BOTH, batch=_ONE), 8.0),
    Goal(
        "other cells, training step, B >= 16, H <= 256",
        "eager",
        _is("train", but=_BOTH, batch=_MANY, hidden=range(1, 257)),
        1.6,
    ),
    Goal("other cells, training step", "compile", _is("train", but=_BOTH), 1.4),
    Goal("other cells, training step", "jax", _is("train", but=_BOTH), 2.0),
)
