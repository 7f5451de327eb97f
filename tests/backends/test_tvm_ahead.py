"""Kernels are made on another thread before they are asked for, once, with their mistakes."""

from __future__ import annotations

import os
from threading import Barrier, Event, Thread, current_thread, main_thread

import pytest

from rnndsl.backends.tvm import ahead
from rnndsl.backends.tvm.ahead import Ahead, side_by_side


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "usable_processors", lambda: 2)


def test_what_was_begun_is_taken_once() -> None:
    made: Ahead[object] = Ahead()
    made.begin("a", current_thread)
    assert made.take("b") is None
    assert made.take("a") not in (None, main_thread())
    assert made.take("a") is None


def test_nothing_is_begun_twice() -> None:
    made: Ahead[int] = Ahead()
    wait, count = Event(), []

    def make() -> int:
        wait.wait()
        count.append(1)
        return len(count)

    made.begin("a", make)
    made.begin("a", make)
    wait.set()
    assert made.take("a") == 1
    assert count == [1]


def test_who_asks_gets_the_error() -> None:
    made: Ahead[int] = Ahead()
    made.begin("a", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        made.take("a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_process_waits_for_no_thread_of_the_first() -> None:
    made: Ahead[int] = Ahead()
    wait = Event()
    made.begin("a", lambda: int(wait.wait()))
    child = os.fork()
    if not child:
        os._exit(made.take("a") is not None)
    assert os.waitpid(child, 0)[1] == 0
    wait.set()
    assert made.take("a") == 1


def test_without_a_thread_who_asks_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refused)
    made: Ahead[int] = Ahead()
    assert not made.begin("key", lambda: 3)
    assert made.take("key") is None
    assert side_by_side(str, [1, 2, 3]) == ["1", "2", "3"]


def test_one_processor_makes_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "usable_processors", lambda: 1)
    made: Ahead[int] = Ahead()
    made.begin("a", lambda: 1)
    assert made.take("a") is None


def test_what_is_made_side_by_side_keeps_its_order() -> None:
    together = Barrier(3)

    def make(number: int) -> int:
        together.wait(timeout=10)  # all at the same time
        return number * number

    assert side_by_side(make, [1, 2, 3]) == [1, 4, 9]


def test_an_error_of_one_is_an_error_of_all() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // number, [1, 2, 0])
