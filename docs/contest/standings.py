"""Who takes part in the last stage, and how they did: paired over seeds."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from searches import finalists
from settings import FINAL_SEEDS, PUBLISHED, SEARCHES, TUNING_SEED


@dataclass(frozen=True, slots=True)
class Contender:
    """A published cell, or the best of a search; ``cell`` is the name that its runs bear."""

    name: str
    cell: str
    found: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Test losses over the fresh seeds.  ``difference`` and its standard error are those of
    the losses minus the best published cell's with the same seed."""

    contender: Contender
    lr: float
    width: int
    parameters: int
    losses: tuple[float, ...]
    difference: float
    difference_error: float

    @property
    def mean(self) -> float:
        return statistics.fmean(self.losses)

    @property
    def error(self) -> float:
        return standard_error(self.losses)


def standard_error(values: tuple[float, ...]) -> float:
    """Of the mean; infinite for one value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _records(folder: Path, problem: str, cell: str) -> list[dict[str, Any]]:
    places = sorted((folder / problem / "trainings" / cell).glob("*.json"))
    return [json.loads(place.read_text(encoding="utf-8")) for place in places]


def _tuned(folder: Path, problem: str, cell: str) -> tuple[float, float] | None:
    """The best validation loss over the learning rates, and its rate."""
    records = _records(folder, problem, cell)
    tuning = [r for r in records if r["seed"] == TUNING_SEED and r["valid"] is not None]
    return min(((r["valid"], r["lr"]) for r in tuning), default=None)


def best_rate(folder: Path, problem: str, cell: str) -> float | None:
    """The learning rate that was best on the validation data; None if all runs diverged."""
    found = _tuned(folder, problem, cell)
    return None if found is None else found[1]


def best_published(folder: Path, problem: str) -> str:
    """The published cell with the best validation loss; they have been tuned."""
    tuned = {name: _tuned(folder, problem, name) for name in PUBLISHED}
    known = {name: value for name, value in tuned.items() if value is not None}
    return min(known, key=lambda name: known[name])


def contenders(folder: Path, problem: str) -> list[Contender]:
    """The published cells, and of each search the cell with the best validation loss."""
    found = [Contender(name, name, False) for name in PUBLISHED]
    for searcher in SEARCHES:
        tuned = {n: _tuned(folder, problem, n) for n in finalists(folder, problem, searcher)}
        known = {name: value for name, value in tuned.items() if value is not None}
        if known:
            best = min(known, key=lambda name: known[name])
            found.append(Contender(searcher, best, True))
    return found


def standings(folder: Path, problem: str) -> list[Standing]:
    """Everyone whose runs are complete, best mean test loss first."""
    losses: dict[Contender, tuple[float, ...]] = {}
    facts: dict[Contender, dict[str, Any]] = {}
    for contender in contenders(folder, problem):
        rate = best_rate(folder, problem, contender.cell)
        records = [r for r in _records(folder, problem, contender.cell) if r["lr"] == rate]
        by_seed = {r["seed"]: r["test"] for r in records if r["test"] is not None}
        if all(seed in by_seed for seed in FINAL_SEEDS):
            losses[contender] = tuple(by_seed[seed] for seed in FINAL_SEEDS)
            facts[contender] = records[0]
    published = {c: statistics.fmean(v) for c, v in losses.items() if not c.found}
    if not published:
        return []
    reference = losses[min(published, key=lambda c: published[c])]
    found = []
    for contender, values in losses.items():
        pairs = tuple(a - b for a, b in zip(values, reference, strict=True))
        known = facts[contender]
        found.append(
            Standing(
                contender,
                known["lr"],
                known["width"],
                known["parameters"],
                values,
                statistics.fmean(pairs),
                standard_error(pairs),
            )
        )
    return sorted(found, key=lambda standing: standing.mean)
