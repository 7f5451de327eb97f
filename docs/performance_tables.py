"""The tables of docs/performance.md, from reports of `rnndsl bench`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from performance_singles import Single

from rnndsl.bench.machine import Rates
from rnndsl.bench.report import Case, Entry, Report
from rnndsl.bench.table import seconds_text
from rnndsl.bench.targets import GOALS, Verdict, geometric_mean, judge

OURS = "auto"
PEERS = ("nn", "eager", "compile", "compile_cell", "jax", "ort", "ort_scan")
MODES = {"infer": "Inference", "train": "Training step", "stream": "Streaming"}


def best_rates(reports: Iterable[Report]) -> Rates:
    """The best of all runs: other work only ever lowers a rate."""
    rates = Rates(0.0, 0.0)
    for report in reports:
        rates = rates.best(Rates(**report.rates))
    return rates


def rows(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def times(cases: Sequence[Case], rates: Rates) -> str:
    """A table of cases of one shape and mode: a line for each cell."""
    entries = [{entry.name: entry for entry in case.entries} for case in cases]
    peers = [name for name in PEERS if any(name in found for found in entries)]
    predicted = any(e.predicted_seconds is not None for case in cases for e in case.entries)
    header = ["cell", "ours", *peers, "GFLOP/s", "of roofline", "spread"]
    if predicted:
        header.insert(2, "predicted")
    body = []
    for case, found in zip(cases, entries, strict=True):
        if OURS not in found:
            continue
        mine = found[OURS]
        line = [case.source, seconds_text(mine.time.median)]
        if predicted:
            guess = mine.predicted_seconds
            line.append("" if guess is None else seconds_text(guess))
        line += [_versus(found[name], mine) if name in found else "" for name in peers]
        share = rates.least_seconds(case.flops, case.bytes) / mine.time.median
        spread = max(half_spread(entry) for entry in case.entries)
        line += [f"{mine.flops_per_second / 1e9:.1f}", f"{share:.0%}", f"{spread:.0%}"]
        body.append(line)
    ratios = {
        name: [
            found[name].time.median / found[OURS].time.median
            for found in entries
            if name in found and OURS in found
        ]
        for name in peers
    }
    if len(body) > 2:
        means = [f"**{geometric_mean(ratios[name]):.2f}**" for name in peers]
        body.append(["geometric mean", *[""] * (1 + predicted), *means, "", "", ""])
    return rows(header, body)


def _versus(peer: Entry, mine: Entry) -> str:
    return f"{peer.time.median / mine.time.median:.2f} ({seconds_text(peer.time.median)})"


def half_spread(entry: Entry) -> float:
    return (entry.time.upper - entry.time.lower) / 2 / entry.time.median


def by_shape(cases: Iterable[Case]) -> Iterator[tuple[str, list[Case]]]:
    """Cases under a heading for each shape and mode, in order of appearance."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        sizes = ", ".join(f"{name} = {size}" for name, size in case.shape.items())
        groups.setdefault(f"{MODES[case.mode]}, {sizes}", []).append(case)
    yield from groups.items()


def verdicts(cases: Sequence[Case], rates: Rates) -> list[Verdict]:
    """A verdict on each goal about which something was measured."""
    found = (judge(goal, cases, rates, OURS) for goal in GOALS)
    return [verdict for verdict in found if verdict is not None]


def targets(found: Sequence[Verdict], others: Sequence[Single]) -> str:
    """The table of goals, with what is furthest from them."""
    header = ["what", "against", "wanted", "lowest", "geometric mean", "cases met", ""]
    singles = (
        [one.what, one.against, one.wanted, one.found, "", "", _met(one.met)] for one in others
    )
    return rows(header, [*map(_verdict, found), *singles])


def _met(met: bool, outright: bool = True) -> str:
    if not met:
        return "**missed**"
    return "**met**" if outright else "met at 75% of the roofline"


def _verdict(verdict: Verdict) -> list[str]:
    goal, findings = verdict.goal, verdict.findings
    wanted = f"each ≥ {goal.each:g}"
    if goal.mean:
        wanted += f", mean ≥ {goal.mean:g}"
        if verdict.wanted_mean < goal.mean - 0.005:
            wanted += f" (≥ {verdict.wanted_mean:.2f} at 75% of the roofline)"
    lowest = min(findings, key=lambda found: found.ratio)
    met = sum(found.ratio >= goal.each for found in findings)
    return [
        goal.what,
        goal.peer,
        wanted,
        f"{lowest.ratio:.2f} ({_place(lowest.case)})",
        f"{verdict.mean:.2f}",
        f"{met} of {len(findings)}",
        _met(verdict.met, verdict.met_outright),
    ]


def _place(case: Case) -> str:
    return f"{case.source} {','.join(map(str, case.shape.values()))}"


def left_out(reports: Mapping[str, Report]) -> str:
    """Why peers and cells are not in the tables, once for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for report in reports.values():
        for case in report.cases:
            for name, reason in case.missing.items():
                reasons.setdefault((name, reason), []).append(case.source)
        for what, reason in report.failures.items():
            reasons.setdefault((OURS, reason), []).append(what)
    body = []
    for (name, reason), cells in reasons.items():
        distinct = list(dict.fromkeys(cells))
        shown = ", ".join(distinct) if len(distinct) <= 6 else f"{len(distinct)} cells"
        body.append([name, reason, shown])
    return rows(["peer", "why it is missing", "where"], body) if body else ""
