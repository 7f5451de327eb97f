"""Searchers and rankers on cells with known results.

    python docs/tabular --data FOLDER

FOLDER holds recipes.jsonl and results.csv in the form of NAS-Bench-NLP.  What is done is kept
in ``--records`` and not done again.  Besides rnndsl it needs scipy, matplotlib and, for the
plain random forest, scikit-learn.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from acquisition import SEARCHERS, curves
from page import write_page
from rankers import SIZES, correlations
from rich.progress import track
from table import Cell, load_table

from rnndsl.atomic import write_text_atomically

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--records", type=Path, default=Path("tabular_records"))
    parser.add_argument("--repeats", type=int, default=20, help="splits for each ranker")
    parser.add_argument("--seeds", type=int, default=50, help="of each search")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    args = parser.parse_args()
    cache = args.records / "features.json"
    cells = load_table(args.data, cache, args.workers)
    ranks = {
        size: _ranks(args.records, cells, size, args.repeats) for size in track(SIZES, "rankers")
    }
    searches = curves(args.data, cache, args.records, args.seeds, args.workers, list(SEARCHERS))
    write_page(HERE.parent, cells, ranks, searches)


def _ranks(records: Path, cells: list[Cell], size: int, repeats: int) -> dict[str, list[float]]:
    """The correlations of one size, from their record if there is one."""
    place = records / "rankers" / f"{size}-{repeats}.json"
    if place.exists():
        found: dict[str, list[float]] = json.loads(place.read_text(encoding="utf-8"))
        return found
    found = correlations(cells, size, repeats)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(place, json.dumps(found))
    return found


if __name__ == "__main__":
    main()
