"""The searches, each through the command line, and the cells that they propose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from settings import FINALISTS, PROBLEMS, SEARCHES

from rnndsl.atomic import write_text_atomically


@dataclass(frozen=True, slots=True)
class Tuned:
    """A cell, and its learning rate with the best validation loss."""

    cell: str
    lr: float
    loss: float


def study(folder: Path, problem: str, searcher: str) -> Path:
    """The folder of a search."""
    return folder / problem / "searches" / searcher


def command(
    folder: Path, problem: str, searcher: str, published: Tuned, trials: int, workers: int
) -> list[str]:
    """The search as a command; the same command again goes on with it."""
    settings, start = PROBLEMS[problem], SEARCHES[searcher].start or published.cell
    # As it is given in the project's folder, if it is there.
    start = os.path.relpath(start) if os.path.exists(start) else start
    return [
        *("rnndsl", "search", start, "--task", problem, "--lr", f"{published.lr:g}"),
        *("--sampler", SEARCHES[searcher].sampler),
        *("--study", str(study(folder, problem, searcher))),
        *("--hidden", str(settings.settings.hidden), "--steps", str(settings.search_steps)),
        *("--trials", str(trials), "--workers", str(workers), "--threads", "1"),
    ]


def search(
    folder: Path, problem: str, searcher: str, published: Tuned, trials: int, workers: int
) -> None:
    """Search until ``trials`` cells have been trained, those of earlier calls included."""
    if len(rows(folder, problem, searcher)) >= trials:
        return
    words = command(folder, problem, searcher, published, trials, workers)
    subprocess.run([sys.executable, "-m", *words], check=True)


def rows(folder: Path, problem: str, searcher: str) -> list[dict[str, Any]]:
    """What a search trained, best first; nothing while it has not begun."""
    place = study(folder, problem, searcher) / "leaderboard.json"
    if not place.exists():
        return []
    found = json.loads(place.read_text(encoding="utf-8"))
    return [
        {**row, "unit": found["units"][0], "score": row[found["units"][0]]}
        for row in found["rows"]
        if not row["baseline"]
    ]


def finalists(folder: Path, problem: str, searcher: str) -> dict[str, str]:
    """The texts of the best cells of a search by names that they keep, best first.

    A published cell that the search began with is none that it found.
    """
    begun_with = 0 if SEARCHES[searcher].start is None else None
    found = [row for row in rows(folder, problem, searcher) if row["trial"] != begun_with]
    scored = [row for row in found if row["kind"] == "scored"]
    return {f"{searcher}-{row['trial']}": row["text"] for row in scored[:FINALISTS]}


def write_cell(folder: Path, problem: str, name: str, text: str) -> Path:
    """The file of a finalist, written if need be."""
    place = folder / problem / "cells" / f"{name}.rnn"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(place, text)
    return place
