"""Several processes and machines on one study: what they lose when they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")

from optuna.trial import FrozenTrial, TrialState

from rnndsl.diagnostics import RnndslError
from rnndsl.search.orphans import ENDS, STRIKES, is_orphan, redo_orphans
from rnndsl.search.record import CELL, TrialRecord, read_records
from rnndsl.search.storage import Place, hide_password, load_storage, open_storage
from rnndsl.search.study import run_search
from rnndsl.search.worker import ORIGIN, begin_trial, this_worker
from tests.search.crew import Slow, settings
from tests.search.servers import grpc_proxy, postgresql
from tests.search.stub import Quiet

ROOT = Path(__file__).resolve().parents[2]


def start(place: Place, workers: int, trials: int, gate: Path, group: bool = False) -> Any:
    """A search in a process of its own; its trials wait until there is a file ``gate``.

    ``group``: it leads a group of processes, which can be killed together.
    """
    words = [str(place.folder), place.url or "", str(workers), str(trials), str(gate)]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.search.crew", *words],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]},
        start_new_session=group,
    )


def wait_for_pids(place: Place, count: int, process: Any) -> dict[int, FrozenTrial]:
    """The running trials by process, once so many processes are in the middle of one."""
    storage = None
    for _ in range(3600):
        assert process.poll() is None, "the search has ended"
        try:
            storage = storage or load_storage(place)
            trials = storage.cells.get_trials(deepcopy=False)
        except (RnndslError, KeyError):
            trials = []  # it has not begun
        running = {
            trial.user_attrs[ORIGIN]["pid"]: trial
            for trial in trials
            if trial.state is TrialState.RUNNING and trial.intermediate_values
        }
        if len(running) >= count:
            return running
        time.sleep(0.05)
    raise AssertionError("the workers do not begin")


def records_of(place: Place) -> tuple[TrialRecord, ...]:
    return read_records(load_storage(place).cells.get_trials(deepcopy=False))


def check_nothing_is_lost(place: Place, trials: int, killed: set[int]) -> None:
    """All trials are there, each cell was trained once, and only the killed ones were lost."""
    records = records_of(place)
    kinds = Counter(record.kind for record in records)
    # Workers that see at the same moment that one more is wanted each begin one.
    assert trials <= kinds["scored"] < trials + 5
    assert {r.number for r in records if r.kind == "orphaned"} == killed
    assert set(kinds) <= {"scored", "orphaned", "duplicate", "rejected"}
    scored = [record.text for record in records if record.kind == "scored"]
    assert len(set(scored)) == len(scored)
    # What was lost was done again.
    assert {r.text for r in records if r.kind == "orphaned"} <= set(scored)


def test_killed_workers_on_postgresql_and_behind_a_proxy_lose_their_trials_alone(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    with postgresql() as url, grpc_proxy(url) as proxy:
        place = Place(tmp_path / "study", url)
        four = start(place, 4, 16, gate)
        one = None
        try:
            wait_for_pids(place, 1, four)
            one = start(Place(place.folder, proxy), 1, 16, gate)
            running = wait_for_pids(place, 5, four)
            assert one.pid in running
            victims = [one.pid, next(pid for pid in running if pid != one.pid)]
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            assert one.wait(timeout=60) == -signal.SIGKILL
            gate.touch()
            assert four.wait(timeout=250) == 0
        finally:
            for process in (four, one):
                if process is not None and process.poll() is None:
                    process.terminate()
                    process.wait()
        check_nothing_is_lost(place, 16, {running[pid].number for pid in victims})


def test_a_killed_worker_is_replaced_and_its_trial_done_again(tmp_path: Path) -> None:
    place, gate = Place(tmp_path), tmp_path / "gate"
    process = start(place, 2, 6, gate)
    running = wait_for_pids(place, 2, process)
    victim = min(running)
    os.kill(victim, signal.SIGKILL)
    gate.touch()
    assert process.wait(timeout=120) == 0
    check_nothing_is_lost(place, 6, {running[victim].number})
    assert (tmp_path / "winner.rnn").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_search_that_started_them(number: int, tmp_path: Path) -> None:
    place = Place(tmp_path)
    process = start(place, 2, 50, tmp_path / "gate")
    pids = list(wait_for_pids(place, 2, process))
    process.send_signal(number)
    assert process.wait(timeout=180) == (130 if number == signal.SIGINT else -number)
    for _ in range(200):
        if not any(_lives(pid) for pid in pids):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a worker goes on")
    trials = load_storage(place).cells.get_trials(deepcopy=False)
    assert Counter(record.kind for record in read_records(trials)) == {"interrupted": 2}
    assert Counter(trial.state for trial in trials) == {TrialState.FAIL: 2, TrialState.WAITING: 2}


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_mistake_that_stops_any_cell_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(RnndslError, match="E0601"):
        run_search(settings(tmp_path), Slow(bad=True), Quiet())


@pytest.mark.parametrize(("alone", "most"), [(True, STRIKES), (False, ENDS)])
def test_a_cell_that_ends_its_process_again_and_again_is_a_failure(alone: bool, most: int) -> None:
    study = optuna.create_study()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for strike in range(1, most + 1):
        trial = begin_trial(study, 0)
        trial.suggest_categorical("u", ["a"])
        trial.set_user_attr(CELL, {"text": "cell A", "hash": "1"})
        trial.set_user_attr(ORIGIN, {**this_worker(), "pid": dead.pid})
        assert redo_orphans(study, alone) == 1
        (record,) = [r for r in read_records(study.trials) if r.number == trial.number]
        waiting = [t for t in study.trials if t.state is TrialState.WAITING]
        assert record.kind == ("orphaned" if strike < most else "failed")
        assert len(waiting) == (1 if strike < most else 0)
    assert f"{most} " in record.reason


# ------------------------------------------------------------------- who is an orphan


def _trial(**attributes: object) -> FrozenTrial:
    return FrozenTrial(
        number=0,
        trial_id=0,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(UTC),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs=attributes,
        system_attrs={},
        intermediate_values={},
    )


def test_a_process_elsewhere_is_known_by_its_signs_of_life() -> None:
    now = datetime.now(UTC)
    old = (now - timedelta(minutes=30)).isoformat()
    new = (now - timedelta(minutes=1)).isoformat()
    away = {**this_worker(), "host": "elsewhere", "time": old}
    assert is_orphan(_trial(origin=away), now)
    assert not is_orphan(_trial(origin=away, seen=new), now)
    assert is_orphan(_trial(origin=away, seen=old), now)
    assert not is_orphan(_trial(origin={**this_worker(), "time": old}), now)


# --------------------------------------------------------------------------- storages


@pytest.mark.parametrize(
    "url",
    [
        "postgres.example.org",
        "nonsense://here",
        "grpc://nowhere",
        "redis://localhost:1",
        "postgresql+psycopg2://me:secret@127.0.0.1:1/none",
    ],
)
def test_a_storage_that_cannot_be_used_is_an_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(RnndslError, match="E0614") as caught:
        open_storage(Place(tmp_path, url), {})
    assert "secret" not in str(caught.value)


def test_passwords_are_not_shown() -> None:
    assert hide_password("postgresql://me:se:cret@host:5432/a") == "postgresql://me:***@host:5432/a"
    assert hide_password("grpc://host:13000") == "grpc://host:13000"


def test_studies_of_one_data_base_are_kept_apart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    for name in ("a", "b"):
        made = settings(tmp_path / name, url=url, workers=1, trials=1)
        assert len(run_search(made, Slow(), Quiet()).board.rows) == 1
