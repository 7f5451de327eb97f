"""Who takes part in the last stage, and how they did: paired over seeds."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from searches import Tuned, finalists
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


def tuned(folder: Path, problem: str, cell: str) -> Tuned | None:
    """A cell with its best learning rate on the validation data; None if all runs diverged."""
    records = _records(folder, problem, cell)
    found = [r for r in records if r["seed"] == TUNING_SEED and r["valid"] is not None]
    return min((Tuned(cell, r["lr"], r["valid"]) for r in found), key=_loss, default=None)


def best_published(folder: Path, problem: str) -> Tuned:
    """The published cell with the best validation loss; they have been tuned."""
    found = [tuned(folder, problem, name) for name in PUBLISHED]
    return min(filter(None, found), key=_loss)


def _loss(cell: Tuned) -> float:
    return cell.loss


def contenders(folder: Path, problem: str) -> list[Contender]:
    """The published cells, and of each search the cell with the best validation loss."""
    found = [Contender(name, name, False) for name in PUBLISHED]
    for searcher in SEARCHES:
        tried = [tuned(folder, problem, name) for name in finalists(folder, problem, searcher)]
        if known := list(filter(None, tried)):
            found.append(Contender(searcher, min(known, key=_loss).cell, True))
    return found


def standings(folder: Path, problem: str) -> list[Standing]:
    """Everyone whose runs are complete, best mean test loss first."""
    losses: dict[Contender, tuple[float, ...]] = {}
    facts: dict[Contender, dict[str, Any]] = {}
    for contender in contenders(folder, problem):
        best = tuned(folder, problem, contender.cell)
        if best is None:
            continue
        records = [r for r in _records(folder, problem, contender.cell) if r["lr"] == best.lr]
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
