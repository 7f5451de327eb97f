"""Single training runs, each recorded in a file of its own: what has a file is done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import track
from settings import PROBLEMS

from rnndsl.atomic import write_text_atomically


@dataclass(frozen=True, slots=True)
class Run:
    """One cell, trained once; ``cell`` is a name of the library or a path of a .rnn file."""

    problem: str
    contender: str
    cell: str
    lr: float
    seed: int

    def place(self, folder: Path) -> Path:
        name = f"lr{self.lr:g}-seed{self.seed}.json"
        return folder / self.problem / "trainings" / self.contender / name


def run_all(folder: Path, runs: Iterable[Run], workers: int, title: str) -> None:
    """Do what has not been done, in ``workers`` processes; any moment may be the last."""
    missing = [run for run in runs if not run.place(folder).exists()]
    if not missing:
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(_run, folder, run) for run in missing]
        try:
            for done in track(as_completed(waiting), title, total=len(missing)):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def read(folder: Path, run: Run) -> dict[str, Any]:
    """The record of a run: ``valid`` and ``test`` (None where it diverged), and its facts."""
    found: dict[str, Any] = json.loads(run.place(folder).read_text(encoding="utf-8"))
    return found


def _run(folder: Path, run: Run) -> None:
    import rnndsl
    from rnndsl.search.trainers import make_trainer
    from rnndsl.training import TrainingDivergedError

    trainer = make_trainer(replace(PROBLEMS[run.problem].settings, lr=run.lr, seed=run.seed))
    cell = rnndsl.load(run.cell)
    width = trainer.width(cell)
    record: dict[str, Any] = {**asdict(run), "width": width, "unit": trainer.unit}
    started = time.perf_counter()
    try:
        found = trainer.train(cell, width, lambda step, loss: True, test=True)
        record |= {"valid": found.score, "test": found.test, "parameters": found.parameters}
    except TrainingDivergedError as error:
        record |= {"valid": None, "test": None, "reason": str(error)}
    record["seconds"] = round(time.perf_counter() - started, 2)
    place = run.place(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(place, json.dumps(record, indent=1) + "\n")
