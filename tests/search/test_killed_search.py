"""A study that is killed again and again, at any moment, ends as if it had not been."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")

from optuna.trial import TrialState

from rnndsl.search.record import REDONE, read_records
from rnndsl.search.storage import Place, load_storage
from tests.search.test_workers import start

CANDIDATES = 24
KILLS = 3


def test_a_study_survives_being_killed_at_random(tmp_path: Path) -> None:
    """The search and its workers die together, as when a machine goes down."""
    generator = random.Random(0)
    place, gate = Place(tmp_path), tmp_path / "gate"
    gate.touch()  # nothing waits
    for _ in range(KILLS):
        process = start(place, 2, CANDIDATES, gate, group=True)
        time.sleep(generator.uniform(1.0, 2.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(place, 2, CANDIDATES, gate).wait(timeout=200) == 0
    trials = load_storage(place).cells.get_trials(deepcopy=False)
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    records = read_records(trials)
    kinds = Counter(record.kind for record in records)
    scored = [record.text for record in records if record.kind == "scored"]
    assert CANDIDATES <= len(scored) == len(set(scored)) <= CANDIDATES + 1
    assert sum(kinds[kind] for kind in REDONE) <= 2 * KILLS  # at most what ran
    assert (tmp_path / "winner.rnn").exists()
