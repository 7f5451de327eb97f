"""The table: cells with known results, described by features, and grouped where they are equal."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import track

from rnndsl.atomic import write_text_atomically

RECIPES, RESULTS = "recipes.jsonl", "results.csv"


@dataclass(frozen=True)
class Cell:
    """One row.  ``loss`` is nats per word on the test text of Penn Treebank after the last
    epoch, the mean of three runs; None where all failed.  ``group`` is the hash of the
    canonical graph: cells with the same one are the same."""

    id: str
    loss: float | None
    group: str
    structure: Mapping[str, float]
    behaviour: Mapping[str, float]

    @property
    def features(self) -> dict[str, float]:
        return {**self.structure, **self.behaviour}


def load_table(data: Path, cache: Path, workers: int) -> list[Cell]:
    """All cells of ``data`` with a result; features are computed once and kept in ``cache``."""
    with (data / RESULTS).open(encoding="utf-8") as file:
        results = {row["id"]: row["ptb_test_loss_mean"] for row in csv.DictReader(file)}
    lines = (data / RECIPES).read_text(encoding="utf-8").splitlines()
    recipes = {str(found["id"]): found["recipe"] for found in map(json.loads, lines)}
    known = _cached(cache, _code_version())
    missing = [(id, recipes[id]) for id in results if id in recipes and id not in known]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = pool.map(_describe, missing, chunksize=8)
        for count, (id, description) in enumerate(track(done, "features", len(missing)), start=1):
            known[id] = description
            if count % 200 == 0 or count == len(missing):
                _keep(cache, _code_version(), known)
    return [
        Cell(id, loss if math.isfinite(loss) else None, **known[id])
        for id, text in results.items()
        if id in known
        for loss in [float(text) if text else math.inf]
    ]


def _describe(item: tuple[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    from rnndsl.compiler.canonical import canonical_hash
    from rnndsl.compiler.lower import lower
    from rnndsl.search import import_recipe
    from rnndsl.search.features import behaviour_features, structural_features

    id, recipe = item
    lowered = lower(import_recipe(recipe))
    return id, {
        "group": canonical_hash(lowered.graph),
        "structure": structural_features(lowered.graph),
        "behaviour": behaviour_features(lowered),
    }


def _code_version() -> str:
    """Changes whenever the code that describes cells does."""
    import rnndsl.search.features_behaviour as behaviour
    import rnndsl.search.features_structure as structure

    files = (behaviour.__file__, structure.__file__)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:12]


def _cached(cache: Path, version: str) -> dict[str, Any]:
    if not cache.exists():
        return {}
    found: dict[str, Any] = json.loads(cache.read_text(encoding="utf-8"))
    return found["cells"] if found["version"] == version else {}


def _keep(cache: Path, version: str, cells: Mapping[str, Any]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(cache, json.dumps({"version": version, "cells": cells}))
