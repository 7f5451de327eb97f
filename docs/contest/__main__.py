"""Found cells against published ones: the same size, the same training, the same tuning.

    python docs/contest --problem char --trials 60 --workers 2

For each problem: (1) the published cells are trained with each learning rate, and the best rate
of each, on the validation data, is kept; (2) each searcher trains so many cells, for a shorter
while each, with the rate of the best published one; (3) the best of each search are tuned as the
published ones were; (4) all are trained with their rate from five fresh seeds and compared on the
test data.  Every run has its record in the folder and is not done again: stop at any time and
give the same command.  ``--page`` only writes the tables and the picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from page import write_page
from searches import finalists, search, write_cell
from settings import FINAL_SEEDS, LEARNING_RATES, PROBLEMS, PUBLISHED, SEARCHES, TUNING_SEED
from standings import best_published, contenders, tuned
from trainings import Run, run_all

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--problem", action="append", choices=PROBLEMS, help="default: all")
    parser.add_argument("--searcher", action="append", choices=SEARCHES, help="default: all")
    parser.add_argument("--trials", type=int, default=60, help="cells that a search trains")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--folder", type=Path, default=HERE / "records")
    parser.add_argument("--page", action="store_true", help="only write the page")
    args = parser.parse_args()
    problems = args.problem or list(PROBLEMS)
    if not args.page:
        for problem in problems:
            contest(args.folder, problem, args.searcher or list(SEARCHES), args)
    write_page(args.folder, HERE.parent)


def contest(folder: Path, problem: str, searchers: list[str], args: argparse.Namespace) -> None:
    """All that is missing of one problem."""
    cells = {name: name for name in PUBLISHED}
    tune(folder, problem, cells, args.workers)
    published = best_published(folder, problem)
    for searcher in searchers:
        search(folder, problem, searcher, published, args.trials, args.workers)
        found = finalists(folder, problem, searcher)
        cells |= {n: str(write_cell(folder, problem, n, text)) for n, text in found.items()}
    tune(folder, problem, cells, args.workers)
    final = [
        Run(problem, contender.cell, cells[contender.cell], best.lr, seed)
        for contender in contenders(folder, problem)
        if contender.cell in cells
        if (best := tuned(folder, problem, contender.cell)) is not None
        for seed in FINAL_SEEDS
    ]
    run_all(folder, final, args.workers, f"{problem}: fresh seeds")


def tune(folder: Path, problem: str, cells: dict[str, str], workers: int) -> None:
    """Train each cell, by name or place, once with each learning rate."""
    runs = [
        Run(problem, name, cell, lr, TUNING_SEED)
        for name, cell in cells.items()
        for lr in LEARNING_RATES
    ]
    run_all(folder, runs, workers, f"{problem}: learning rates")


if __name__ == "__main__":
    main()
