"""Goals and verdicts: what is asked for, and whether made-up results meet it."""

from __future__ import annotations

import math

import pytest

from rnndsl.bench.machine import Rates
from rnndsl.bench.peers import PEERS
from rnndsl.bench.report import Case, Entry
from rnndsl.bench.targets import GOALS, Goal, geometric_mean, judge
from rnndsl.bench.timing import Timing

FAST = Rates(1e15, 1e15)  # a machine that sets no limit


def case(source: str, mode: str = "train", batch: int = 1, **seconds: float) -> Case:
    entries = tuple(
        Entry(name, name == "auto", Timing(s, s, s, s, 5), {}, 1.0, None, 0.0, 0.0)
        for name, s in seconds.items()
    )
    shape = {"T": 2, "B": batch, "D": 4, "H": 4}
    return Case(source, source, mode, shape, {}, 1000, 10, entries, {})


EVERY = Goal("all", "nn", lambda case: True, each=1.0, mean=1.5)


def test_a_goal_is_met_by_each_ratio_and_by_their_mean() -> None:
    good = judge(EVERY, [case("a", auto=1, nn=1), case("b", auto=1, nn=4)], FAST, "auto")
    assert good is not None and good.met and good.met_outright and good.mean == pytest.approx(2.0)
    slow = judge(EVERY, [case("a", auto=1, nn=0.9), case("b", auto=1, nn=9)], FAST, "auto")
    assert slow is not None and not slow.met
    assert [found.case.source for found in slow.missed] == ["a"]
    mean = judge(EVERY, [case("a", auto=1, nn=1), case("b", auto=1, nn=1.2)], FAST, "auto")
    assert mean is not None and not mean.missed and not mean.met


def test_a_goal_ends_at_three_quarters_of_the_roofline() -> None:
    rates = Rates(1000.0, 1e9)  # the case takes a second at least
    found = judge(EVERY, [case("a", auto=1.33, nn=1.2)], rates, "auto")
    assert found is not None and found.met
    assert not found.met_outright
    assert found.findings[0].wanted == pytest.approx(0.9)
    assert found.wanted_mean == pytest.approx(0.9)


def test_there_is_no_verdict_where_nothing_was_measured() -> None:
    assert judge(EVERY, [case("a", auto=1), case("b", nn=1)], FAST, "auto") is None


def test_goals_name_peers_and_each_covers_something() -> None:
    shapes = [(1, 64), (1, 128), (1, 512), (32, 256), (64, 512)]
    cases = [
        Case(source, source, mode, {"T": 2, "B": b, "D": h, "H": h}, {}, 1, 1, (), {})
        for source in ("lstm", "gru", "rhn")
        for mode in ("train", "infer", "stream")
        for b, h in shapes
    ]
    for goal in GOALS:
        assert goal.peer in PEERS
        covered = [case for case in cases if goal.covers(case)]
        assert covered and len(covered) < len(cases), goal.what


def test_the_geometric_mean_of_nothing_is_no_number() -> None:
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert math.isnan(geometric_mean([]))
