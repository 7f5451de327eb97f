"""The searches, each through the command line, and the cells that they propose."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from settings import FINALISTS, PROBLEMS, SEARCHERS, SPACE

from rnndsl.atomic import write_text_atomically


def study(folder: Path, problem: str, searcher: str) -> Path:
    """The folder of a search."""
    return folder / problem / "studies" / searcher


def command(folder: Path, problem: str, searcher: str, trials: int, workers: int) -> list[str]:
    """The search as a command; the same command again goes on with it."""
    settings = PROBLEMS[problem]
    return [
        *("rnndsl", "search", SPACE, "--task", problem, "--sampler", SEARCHERS[searcher]),
        *("--study", str(study(folder, problem, searcher))),
        *("--hidden", str(settings.settings.hidden), "--steps", str(settings.search_steps)),
        *("--trials", str(trials), "--workers", str(workers), "--threads", "1"),
    ]


def search(folder: Path, problem: str, searcher: str, trials: int, workers: int) -> None:
    """Search until ``trials`` cells have been trained, those of earlier calls included."""
    words = command(folder, problem, searcher, trials, workers)
    subprocess.run([sys.executable, "-m", *words], check=True)


def rows(folder: Path, problem: str, searcher: str) -> list[dict[str, Any]]:
    """What a search trained, best first; nothing while it has not begun."""
    place = study(folder, problem, searcher) / "leaderboard.json"
    if not place.exists():
        return []
    found = json.loads(place.read_text(encoding="utf-8"))["rows"]
    return [row for row in found if not row["baseline"]]


def finalists(folder: Path, problem: str, searcher: str) -> list[Path]:
    """Files of the best cells of a search, best first."""
    scored = [row for row in rows(folder, problem, searcher) if row["kind"] == "scored"]
    places = []
    for rank, row in enumerate(scored[:FINALISTS], start=1):
        place = folder / problem / "cells" / f"{searcher}-{rank}.rnn"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(place, row["text"])
        places.append(place)
    return places
