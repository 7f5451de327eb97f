"""Measure one problem: prepare everyone, compare, warm up, take turns, sum up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rnndsl.bench.agreement import check_agreement
from rnndsl.bench.eager import reference
from rnndsl.bench.limit import OutOfTime, time_limit
from rnndsl.bench.memory import peak_growth
from rnndsl.bench.peers import Peer
from rnndsl.bench.predicted import predicted_seconds
from rnndsl.bench.problem import Problem
from rnndsl.bench.report import Case, Entry, ratios
from rnndsl.bench.subject import PeerFailed, Results, Subject
from rnndsl.bench.timing import Sample, calls_per_turn, summary, take_turns, timed
from rnndsl.bench.work import Work, work_of
from rnndsl.diagnostics import RnndslError
from rnndsl.errors_bench import NothingToMeasure
from rnndsl.showing.machine import machine_rates
from rnndsl.training.interrupt import deferred_interrupt

_ON_KERNELS = ("auto", "tvm")  # the cost model knows these

FAILED = "it failed"

Tell = Callable[[str], None]  # is told what is going on, for a status line


@dataclass(frozen=True, slots=True)
class _Ready:
    """A subject whose results were right; what its first call took, its peak memory, and how
    many calls it makes in a turn."""

    subject: Subject
    first_seconds: float
    error: float
    peak_bytes: int | None
    calls: int


def measure(
    problem: Problem,
    peers: Sequence[Peer],
    seconds: float,
    tell: Tell,
    limit: float = math.inf,
) -> tuple[Case, bool]:
    """The case of a problem, and whether Ctrl-C ended its timing early.

    Who is not ready for its turns within ``limit`` seconds is left out.  RnndslError (E0903) when
    a peer's results differ from the cell's, (E0905) when nobody can take part.
    """
    ready, missing = _prepare(problem, peers, tell, limit)
    if not ready:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise RnndslError(NothingToMeasure(None, str(problem), reasons))
    tell(f"{problem}: timing {', '.join(ready)}")
    runs = {name: found.subject.run for name, found in ready.items()}
    with deferred_interrupt(True) as interrupt:
        calls = {name: found.calls for name, found in ready.items()}
        samples = take_turns(runs, seconds, lambda: interrupt.requested, calls=calls)
    if not any(samples.values()):
        raise KeyboardInterrupt
    for name in [name for name, found in samples.items() if not found]:
        missing[name] = "interrupted before its first turn"
        del samples[name], ready[name]
    ours, work = {peer.name: peer.ours for peer in peers}, work_of(problem)
    entries = _entries(problem, ready, samples, ours, work)
    on_kernels = [name for name in ready if name in _ON_KERNELS]
    if on_kernels and not problem.options:  # which the model does not know
        expected = predicted_seconds(problem, machine_rates())
        entries = tuple(
            replace(entry, predicted_seconds=expected) if entry.name in on_kernels else entry
            for entry in entries
        )
    return _case(problem, work, entries, missing), interrupt.requested


def _prepare(
    problem: Problem, peers: Sequence[Peer], tell: Tell, limit: float
) -> tuple[dict[str, _Ready], dict[str, str]]:
    """Everyone who can run, after a first call that was compared; and why others cannot."""
    ready: dict[str, _Ready] = {}
    missing = {peer.name: reason for peer in peers if (reason := peer.missing(problem))}
    tell(f"{problem}: the reference")
    expected = reference(problem)
    for peer in peers:
        if peer.name in missing:
            continue
        tell(f"{problem}: preparing {peer.name}")
        try:
            with time_limit(limit):
                ready[peer.name] = _make_ready(problem, peer, expected)
        except RnndslError:
            raise
        except PeerFailed as error:
            missing[peer.name] = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a library may raise: the others go on
            line = (str(error).strip().splitlines() or [""])[0][:200]
            missing[peer.name] = f"{FAILED}: {type(error).__name__}: {line}"
        except OutOfTime:
            missing[peer.name] = f"it was not ready within {limit:g} s"
    return ready, missing


def _make_ready(problem: Problem, peer: Peer, expected: Results) -> _Ready:
    subject = peer.subject(problem)
    result, first = timed(subject.run)
    distance = check_agreement(problem, peer.name, subject.read(result), expected)
    del result
    subject.run()  # warm
    peak = peak_growth(subject.run)
    return _Ready(subject, first, distance, peak, calls_per_turn(subject.run))


def _entries(
    problem: Problem,
    ready: dict[str, _Ready],
    samples: dict[str, list[Sample]],
    ours: dict[str, bool],
    work: Work,
) -> tuple[Entry, ...]:
    parts = problem.shape.steps if problem.mode == "stream" else 1
    times = {name: summary(found, parts) for name, found in samples.items()}
    versus = ratios({name: time.median for name, time in times.items()}, ours)
    return tuple(
        Entry(
            name=name,
            ours=ours[name],
            time=time,
            ratios=versus[name],
            flops_per_second=work.flops / time.median,
            peak_bytes=ready[name].peak_bytes,
            compile_seconds=max(0.0, ready[name].first_seconds - time.median * parts),
            error=ready[name].error,
        )
        for name, time in times.items()
    )


def _case(
    problem: Problem, work: Work, entries: tuple[Entry, ...], missing: dict[str, str]
) -> Case:
    shape = problem.shape
    sizes = {"T": shape.steps, "B": shape.batch, "D": shape.input, "H": shape.hidden}
    return Case(
        source=problem.source,
        cell=problem.cell.name,
        mode=problem.mode,
        shape=sizes,
        numbers=dict(problem.numbers),
        flops=work.flops,
        bytes=work.bytes,
        entries=entries,
        missing=missing,
        options=dict(problem.options),
    )
