"""What takes long is made on other threads before it is asked for, with its mistakes."""

from __future__ import annotations

import os
from threading import Barrier, Event, Thread, current_thread, main_thread

import pytest

from rnndsl.backends.tvm import ahead
from rnndsl.backends.tvm.ahead import Begun, side_by_side


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "usable_processors", lambda: 2)


def test_another_thread_makes_it_before_anybody_asks() -> None:
    done, threads = Event(), list[Thread]()

    def make() -> int:
        threads.append(current_thread())
        done.set()
        return 3

    begun = Begun(make)
    assert done.wait(timeout=10)
    assert [begun(), begun()] == [3, 3]
    assert len(threads) == 1
    assert threads[0] is not main_thread()


def test_who_asks_gets_the_error() -> None:
    begun = Begun(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        begun()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_process_waits_for_no_thread_of_the_first() -> None:
    wait = Event()
    begun = Begun(lambda: int(wait.wait()))
    child = os.fork()
    if not child:
        wait.set()  # of this process alone
        os._exit(begun() != 1)
    assert os.waitpid(child, 0)[1] == 0
    wait.set()
    assert begun() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_process_takes_what_was_there_before() -> None:
    begun = Begun(os.getpid)
    begun()
    child = os.fork()
    if not child:
        os._exit(begun() == os.getpid())
    assert os.waitpid(child, 0)[1] == 0


def test_without_a_thread_who_asks_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refused)
    assert Begun(current_thread)() is main_thread()
    assert side_by_side(str, [1, 2, 3]) == ["1", "2", "3"]


def test_with_one_processor_who_asks_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "usable_processors", lambda: 1)
    assert Begun(current_thread)() is main_thread()


def test_what_is_made_side_by_side_keeps_its_order() -> None:
    together = Barrier(3)

    def make(number: int) -> int:
        together.wait(timeout=10)  # all at the same time
        return number * number

    assert side_by_side(make, [1, 2, 3]) == [1, 4, 9]


def test_an_error_of_one_is_an_error_of_all() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // number, [1, 2, 0])
