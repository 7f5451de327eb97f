"""A trial done again from its record alone: the same cell, seed, settings; the same score?"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import rnndsl
from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import NoSuchTrial
from rnndsl.search.objective import TrainObjective, TrainSettings
from rnndsl.search.record import TRAINED, TrialRecord, read_records
from rnndsl.search.storage import SETTINGS, Place, load_storage
from rnndsl.search.versions import installed_versions


def rerun_trial(
    study: str | None, storage: str | None, number: int, data: str | None, threads: int | None
) -> int:
    """Train the cell of a trial again and print both scores; 0, or 1 when they differ.

    ``data`` is where the text lies now, if not where it is looked for by default.
    RnndslError (E0615, E0617) when there is nothing to do again.
    """
    place = Place(Path(study or "."), storage)
    cells = load_storage(place).cells
    record = find_record(read_records(cells.get_trials(deepcopy=False)), number, place)
    threads = threads or record.facts.get("threads")
    settings = stored_settings(cells.user_attrs[SETTINGS], data, threads)
    objective = TrainObjective(settings)
    recorded = cells.user_attrs[SETTINGS].get("data")
    if recorded != objective.trainer.data:
        reason = f"it was trained on {recorded}, not on {objective.trainer.data}; give --data"
        raise RnndslError(NoSuchTrial(None, place.shown, number, reason))
    print(record.text, end="")
    for name, version in installed_versions().items():
        if record.versions.get(name, version) != version:
            print(f"note: {name} was {record.versions[name]}, now {version}")
    print(f"seed {settings.seed}, {settings.steps} steps")
    stop_at = int(record.facts.get("steps", 0)) if record.kind == "pruned" else None
    curve: dict[int, float] = {}

    def report(step: int, score: float) -> bool:
        curve[step] = score
        before = record.curve.get(step)
        was = "" if before is None else f" (was {before:.6f})"
        print(f"after {step:>6} steps: {score:.6f} {objective.unit}{was}", flush=True)
        return step == stop_at

    outcome = objective.evaluate(rnndsl.parse(record.text), report)
    shown = "" if outcome.score is None else f" {outcome.score:.6f}"
    print(f"now {outcome.kind}{shown}; recorded {record.kind}{_score(record)}")
    verdict = compare(record, outcome.kind, curve)
    print(verdict)
    return 1 if verdict == DIFFERENT else 0


SAME, CLOSE, DIFFERENT = "the same to the last bit", "the same but for rounding", "not the same"

# Other threads or another machine add up in another order; training makes more of it.
_ROUNDING = 1e-3


def compare(record: TrialRecord, kind: str, curve: dict[int, float]) -> str:
    """How a trial's second run went beside its first."""
    before = dict(record.curve)
    if kind != record.kind or set(curve) != set(before):
        return DIFFERENT
    if curve == before:
        return SAME
    near = all(abs(curve[step] - before[step]) <= _ROUNDING * abs(before[step]) for step in curve)
    return CLOSE if near else DIFFERENT


def find_record(records: tuple[TrialRecord, ...], number: int, place: Place) -> TrialRecord:
    """The record of a trial that was trained; RnndslError (E0617) if there is none."""
    found = next((record for record in records if record.number == number), None)
    if found is None or found.kind not in TRAINED:
        reason = "there is none" if found is None else f"it was not trained: {found.kind}"
        raise RnndslError(NoSuchTrial(None, place.shown, number, reason))
    return found


def stored_settings(stored: dict[str, Any], data: str | None, threads: int | None) -> TrainSettings:
    """The settings of a study's runs, as they were stored."""
    known = {field.name for field in fields(TrainSettings)}
    values = {name: value for name, value in stored.items() if name in known}
    values["objectives"] = tuple(values.get("objectives", ("loss",)))
    return replace(TrainSettings(**values), data=data, threads=threads)


def _score(record: TrialRecord) -> str:
    return "" if record.score is None else f" {record.score:.6f}"
