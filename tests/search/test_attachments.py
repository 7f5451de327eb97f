"""What optuna-dashboard shows of a trial: its cell as text and as a drawing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")

from rnndsl.search.attachments import ARTIFACTS
from rnndsl.search.record import Outcome
from rnndsl.search.storage import Place, load_storage
from tests.search.stub import SPACE, Stub, search

CHAIN = "".join(f"    a{k + 1} = tanh(a{k})\n" for k in range(120))
LONG = SPACE.replace("u = ?act", "a0 = ?act").replace("    h' =", CHAIN + "    h' =")
LONG = LONG.replace("(1 - g) * u", "(1 - g) * a120")


def attached(folder: Path, number: int) -> dict[str, str]:
    """The contents of the files at a trial, by name."""
    cells = load_storage(Place(folder)).cells
    attributes = cells.trials[number].system_attrs
    files = [json.loads(v) for k, v in attributes.items() if k.startswith("artifacts:")]
    return {
        file["filename"]: (folder / ARTIFACTS / file["artifact_id"]).read_text(encoding="utf-8")
        for file in files
    }


def test_trained_cells_have_text_and_drawing(tmp_path: Path, drawings: None) -> None:
    result = search(tmp_path, trials=2)
    for record in result.board.rows:
        files = attached(tmp_path, record.number)
        assert files["S.rnn"] == record.text
        assert files["S.svg"].startswith("<svg") and "prefers-color-scheme" not in files["S.svg"]


def test_cells_that_were_given_up_have_their_text_alone(tmp_path: Path, drawings: None) -> None:
    result = search(tmp_path, Stub(lambda text, report: Outcome("pruned")), trials=1)
    (record,) = result.board.rows
    assert attached(tmp_path, record.number) == {}
    cells = load_storage(Place(tmp_path)).cells
    notes = cells._storage.get_study_system_attrs(cells._study_id)
    assert any(record.text.rstrip() in str(note) for note in notes.values())


def test_notes_are_as_the_dashboard_reads_them(tmp_path: Path, drawings: None) -> None:
    result = search(tmp_path, trials=1, text=LONG)
    (record,) = result.board.rows
    study = load_storage(Place(tmp_path)).cells
    attributes = study._storage.get_study_system_attrs(study._study_id)
    trial = study.trials[record.number]._trial_id
    key = f"dashboard:{trial}:note"
    parts = [attributes[k] for k in sorted(attributes) if k.startswith(f"{key}_str:")]
    assert attributes[f"{key}_ver"] == 1
    assert len(parts) == 2 and max(map(len, parts)) <= 2045
    assert f"```\n{record.text.rstrip()}\n```" in "".join(parts)


def test_a_drawing_that_fails_costs_no_score(
    tmp_path: Path, drawings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **named: object) -> str:
        raise RuntimeError("no room")

    monkeypatch.setattr("rnndsl.showing.show.drawing", fail)
    assert search(tmp_path, trials=1).board.winner is not None
