"""How soon a searcher finds the good cells of the table, when it may ask for one at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import optuna
from rich.progress import track
from table import Cell, load_table

from rnndsl.atomic import write_text_atomically
from rnndsl.search.searchers.pool import (
    POOL_SEARCHERS,
    MakePoolSearcher,
    OptunaPool,
    Pool,
    PoolSearcher,
    RankedPool,
    query,
)

QUERIES = 200
_EVERY = 5  # queries between fits of a ranking model
_MOST_SEEDS = {"Optuna GP over features": 5}  # it takes minutes for each


def _ranked(pool: Pool, seed: int) -> PoolSearcher:
    return RankedPool(pool, seed, every=_EVERY)


def _gp(pool: Pool, seed: int) -> PoolSearcher:
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # fits that fail take its defaults

    def sampler(seed: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=10)

    return OptunaPool(pool, seed, sampler)


SEARCHERS: dict[str, MakePoolSearcher] = {
    "random": POOL_SEARCHERS["random"],
    "hidden covariance": POOL_SEARCHERS["covariance"],
    "ranking model": _ranked,
    "ranking model, structure alone": _ranked,
    "Optuna TPE over features": POOL_SEARCHERS["tpe"],
    "Optuna GP over features": _gp,
}


def pool_of(cells: Sequence[Cell], name: str) -> Pool:
    """The cells as that searcher sees them."""
    alone = "structure alone" in name
    features = tuple(cell.structure if alone else cell.features for cell in cells)
    return Pool(tuple(cell.id for cell in cells), features)


def curves(
    data: Path, cache: Path, folder: Path, seeds: int, workers: int, names: Sequence[str]
) -> dict[str, list[list[float]]]:
    """For each searcher and seed the best loss after each query; each is recorded in a file."""
    wanted = {name: range(min(seeds, _MOST_SEEDS.get(name, seeds))) for name in names}
    missing = [
        (name, seed)
        for name in names
        for seed in wanted[name]
        if not _place(folder, name, seed).exists()
    ]
    if missing:
        make = partial(_run, data, cache, folder)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            waiting = [pool.submit(make, *item) for item in missing]
            try:
                for done in track(as_completed(waiting), "searches", total=len(missing)):
                    done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return {name: [_read(folder, name, seed) for seed in wanted[name]] for name in names}


def _place(folder: Path, name: str, seed: int) -> Path:
    return folder / "searches" / name.replace(", ", "-").replace(" ", "_") / f"{seed}.json"


def _read(folder: Path, name: str, seed: int) -> list[float]:
    found: list[float] = json.loads(_place(folder, name, seed).read_text(encoding="utf-8"))
    return found


_table: Callable[[Path, Path], list[Cell]] = lru_cache(1)(
    lambda data, cache: load_table(data, cache, 1)
)


def _run(data: Path, cache: Path, folder: Path, name: str, seed: int) -> None:
    cells = _table(data, cache)
    searcher = SEARCHERS[name](pool_of(cells, name), seed)
    best, curve = math.inf, []
    for _, loss in query(searcher, lambda number: cells[number].loss, QUERIES):
        best = min(best, math.inf if loss is None else loss)
        curve.append(round(best, 6))
    place = _place(folder, name, seed)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(place, json.dumps(curve))
