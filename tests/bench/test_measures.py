"""What is counted and how turns are taken; nothing here depends on how fast anything is."""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from rnndsl.bench import memory, timing, waiting
from rnndsl.bench.cases import Shape
from rnndsl.bench.limit import OutOfTime, time_limit
from rnndsl.bench.machine import Rates
from rnndsl.bench.predicted import predicted_seconds
from rnndsl.bench.problem import make_problem
from rnndsl.bench.report import Case, Entry, Report, from_json, ratios, to_json
from rnndsl.bench.table import seconds_text
from rnndsl.bench.timing import (
    MAX_ROUNDS,
    MIN_ROUNDS,
    PATIENCE,
    Sample,
    calls_per_turn,
    summary,
    take_turns,
)
from rnndsl.bench.work import work_of
from rnndsl.cell import load
from rnndsl.compiler.cost import TYPICAL
from rnndsl.compiler.ops import graph_flops


def lstm_flops(d: int, h: int) -> int:
    """Four products with x and four with h; 8 sums, 4 smooth functions and 4 more per unit."""
    products = 2 * 4 * h * (d + h)
    elementwise = 2 * 4 * h + 5 * 10 * h + 4 * h
    return products + elementwise


@pytest.mark.parametrize("shape", [Shape(7, 3, 5, 6), Shape(2, 1, 8, 4)])
def test_the_operations_of_an_lstm_are_those_of_its_formula(shape: Shape) -> None:
    each = lstm_flops(shape.input, shape.hidden)
    infer = make_problem(load("lstm"), shape, "infer", {})
    assert graph_flops(infer.program.step) == each
    assert work_of(infer).flops == each * shape.steps * shape.batch
    assert work_of(make_problem(load("lstm"), shape, "stream", {})).flops == each * shape.batch


def test_training_multiplies_three_times_as_much() -> None:
    shape = Shape(3, 2, 64, 64)
    products = 2 * 4 * 64 * 128 * shape.steps * shape.batch
    flops = work_of(make_problem(load("lstm"), shape, "train", {})).flops
    assert 3 * products < flops < 3.5 * products


def test_bytes_are_what_enters_and_leaves_once() -> None:
    shape = Shape(7, 3, 5, 6)
    floats = 7 * 3 * 5 + 7 * 3 * 6 + 4 * 6 * (5 + 6 + 1) + 2 * 2 * 3 * 6
    assert work_of(make_problem(load("lstm"), shape, "infer", {})).bytes == 4 * floats


def test_turns_are_taken_in_rotation_until_the_time_is_up() -> None:
    calls: list[str] = []
    ticks = itertools.count()
    runs = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    found = take_turns(runs, 100, clock=lambda: float(next(ticks)))
    assert "".join(calls[:9]) == "abcbcacab"
    assert {len(samples) for samples in found.values()} == {len(calls) // 3}
    assert MIN_ROUNDS <= len(calls) // 3 < MAX_ROUNDS


def test_there_are_enough_rounds_however_little_time_there_is() -> None:
    found = take_turns({"a": lambda: None}, 1e-12)
    assert len(found["a"]) == MIN_ROUNDS


def test_a_request_to_stop_is_heard_between_calls() -> None:
    calls: list[str] = []
    runs = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    found = take_turns(runs, 100, stop=lambda: len(calls) == 3)
    assert {name: len(samples) for name, samples in found.items()} == {"a": 1, "b": 2}


def test_a_summary_has_the_median_and_the_quartiles_of_a_step() -> None:
    found = summary([Sample(seconds) for seconds in (4.0, 2.0, 6.0, 8.0, 10.0)], parts=2)
    assert (found.lower, found.median, found.upper, found.fastest) == (2.0, 3.0, 4.0, 1.0)
    assert summary([Sample(3.0)]).median == 3.0


def test_disturbed_turns_do_not_count_if_there_are_enough_others() -> None:
    calm = [Sample(1.0, 0.001) for _ in range(MIN_ROUNDS)]
    found = summary([*calm, Sample(9.0, 0.5), Sample(8.0, 0.3)])
    assert (found.median, found.rounds, found.disturbed) == (1.0, MIN_ROUNDS, 2)
    few = summary([Sample(1.0), *(Sample(2.0, share / 10) for share in range(1, 9))])
    assert (few.rounds, few.disturbed) == (MIN_ROUNDS, 4)
    assert few.waited == 0.2


def test_timing_goes_on_for_enough_undisturbed_turns_with_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = itertools.count()
    monkeypatch.setattr(timing, "seconds_waited", lambda: float(next(waits)))
    ticks = itertools.count()
    found = take_turns({"a": lambda: None}, 60, clock=lambda: float(next(ticks)))
    assert PATIENCE * 20 <= len(found["a"]) <= PATIENCE * 20 + 1  # three ticks each round
    assert all(sample.waited == 1.0 for sample in found["a"])


def test_a_turn_of_several_calls_begins_with_one_that_is_not_counted() -> None:
    calls: list[str] = []
    found = take_turns({"a": lambda: calls.append("a")}, 1e-12, calls={"a": 4})
    assert len(calls) == 5 * len(found["a"])


def test_short_calls_share_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "TURN_SECONDS", 0.005)
    assert calls_per_turn(lambda: None) == 100
    assert calls_per_turn(lambda: time.sleep(0.01)) == 1


def test_waiting_is_counted_where_the_system_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting.seconds_waited() >= 0.0
    monkeypatch.setattr(waiting, "_TASKS", Path("/nonexistent"))
    assert waiting.seconds_waited() == 0.0


def test_a_limit_ends_what_takes_too_long() -> None:
    with pytest.raises(OutOfTime), time_limit(0.05), contextlib.suppress(Exception):
        time.sleep(30)
    with time_limit(30):
        pass


def test_ratios_are_peer_by_ours() -> None:
    found = ratios({"torch": 2.0, "tvm": 1.0, "nn": 4.0}, {"torch": True, "tvm": True, "nn": False})
    assert found == {
        "torch": {"tvm": 2.0},
        "tvm": {"torch": 0.5},
        "nn": {"torch": 2.0, "tvm": 4.0},
    }


def test_shares_are_those_of_the_best_rates_of_the_run() -> None:
    taken = summary([Sample(2.0)])
    entry = Entry(
        "torch",
        True,
        taken,
        {},
        flops_per_second=50.0,
        peak_bytes=None,
        compile_seconds=0.0,
        error=0.0,
    )
    first, second = (
        Case(name, "Any", "infer", {}, {}, flops=100, bytes=10, entries=(entry,), missing={})
        for name in ("first", "second")
    )
    report = Report((), {}, {"flops": 80.0, "bytes": 5.0})
    report = report.with_case(first, Rates(100.0, 4.0)).with_case(second, Rates(90.0, 8.0))
    assert len(report.cases) == 2
    assert from_json(to_json(report)) == report
    assert report.rates == {"flops": 100.0, "bytes": 8.0}
    for found in report.cases:
        assert found.entries[0].matrix_share == 0.5
        assert found.entries[0].roofline_share == 1.25 / 2


def test_memory_is_seen_whoever_allocates_it() -> None:
    grown = memory.peak_growth(lambda: np.ones(2**23))
    if grown is None:
        pytest.skip("this system does not tell the peak of resident memory")
    assert 0.9 * 2**26 < grown < 1.5 * 2**26


def test_unknown_memory_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_REFS", Path("/nonexistent/clear_refs"))
    assert memory.peak_growth(lambda: None) is None


def test_seconds_are_written_with_three_digits() -> None:
    written = [seconds_text(s) for s in (12.3456, 0.0102, 0.000256, 0.0000001)]
    assert written == ["12.3 s", "10.2 ms", "256 us", "0.10 us"]


@pytest.mark.parametrize("mode", ["infer", "train"])
def test_what_the_compiler_expects_grows_with_the_work(mode: str) -> None:
    times = [
        predicted_seconds(make_problem(load("gru"), Shape(steps, 8, 16, 16), mode, {}), TYPICAL)
        for steps in (10, 1000)
    ]
    assert times[0] is not None and times[1] is not None
    assert 0 < times[0] < times[1]


def test_nothing_is_expected_of_single_steps_and_of_unknown_machines() -> None:
    shape = Shape(3, 2, 4, 4)
    assert predicted_seconds(make_problem(load("gru"), shape, "stream", {}), TYPICAL) is None
    assert predicted_seconds(make_problem(load("gru"), shape, "infer", {}), None) is None
