"""The page and its picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from rankers import SIZES
from table import Cell

from rnndsl.atomic import write_text_atomically

PAGE, PICTURE = "tabular.md", "tabular.svg"
_MARKS = (10, 20, 50, 100, 200)

Correlations = Mapping[int, Mapping[str, Sequence[float]]]
Curves = Mapping[str, Sequence[Sequence[float]]]


def write_page(docs: Path, cells: Sequence[Cell], ranks: Correlations, curves: Curves) -> None:
    """``tabular.md`` and ``tabular.svg`` in ``docs``."""
    _draw(docs / PICTURE, cells, curves)
    parts = [_introduction(cells), *_rank_table(ranks), "", *_search_table(curves), ""]
    write_text_atomically(docs / PAGE, "\n".join(parts))
    print(f"wrote {docs / PAGE} and {docs / PICTURE}")


def _introduction(cells: Sequence[Cell]) -> str:
    finite = [cell for cell in cells if cell.loss is not None]
    groups = len({cell.group for cell in cells})
    best = min(cell.loss for cell in finite if cell.loss is not None)
    return (
        "# Searchers and rankers on a table\n\n"
        "This page is written by `python docs/tabular --data FOLDER`, where FOLDER holds recipes\n"
        "(`recipes.jsonl`) and results (`results.csv`) of NAS-Bench-NLP (Klyuchnikov et al.\n"
        "2020): cells that somebody trained, so that a search costs nothing but questions.\n\n"
        f"{len(cells):,} cells have results, {groups:,} of them different ones; {len(finite):,}\n"
        "have a finite loss.  A loss is nats per word on the test text of Penn Treebank after the\n"
        f"last epoch, the mean of three runs; the best is {best:.3f}, a perplexity of\n"
        f"{math.exp(best):.1f}.\n"
    )


def _rank_table(ranks: Correlations) -> list[str]:
    repeats = len(next(iter(ranks[SIZES[0]].values())))
    lines = [
        "## Rankers",
        "",
        "Spearman's rank correlation with the loss, on the finite cells that were not used for",
        "fitting; equal cells are on one side.  Mean and standard deviation over",
        f"{repeats} random splits.",
        "",
        "| cells known | " + " | ".join(map(str, SIZES)) + " |",
        "|---" * (len(SIZES) + 1) + "|",
    ]
    for name in ranks[SIZES[0]]:
        shown = (
            f"{statistics.fmean(ranks[size][name]):.3f} ± {statistics.pstdev(ranks[size][name]):.3f}"
            for size in SIZES
        )
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return lines


def _search_table(curves: Curves) -> list[str]:
    lines = [
        "## Searchers",
        "",
        "The best perplexity after so many questions, failures counted: median and quartiles over",
        "the seeds.",
        "",
        f"![Best perplexity so far]({PICTURE})",
        "",
        "| questions | seeds | " + " | ".join(map(str, _MARKS)) + " |",
        "|---" * (len(_MARKS) + 2) + "|",
    ]
    for name, found in curves.items():
        shown = []
        for mark in _MARKS:
            values = np.exp([curve[mark - 1] for curve in found])
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), method="nearest")
            shown.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
        lines.append(f"| {name} | {len(found)} | " + " | ".join(shown) + " |")
    return lines


def _draw(place: Path, cells: Sequence[Cell], curves: Curves) -> None:
    best = math.exp(min(cell.loss for cell in cells if cell.loss is not None))
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, found in curves.items():
        values = np.exp(np.array(found))
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0, method="nearest")
        questions = np.arange(1, len(middle) + 1)
        (line,) = axis.step(questions, middle, where="post", label=name)
        axis.fill_between(
            questions, low, high, step="post", alpha=0.12, color=line.get_color(), lw=0
        )
    axis.axhline(best, color="grey", lw=0.8, ls=":", label="best of the table")
    axis.set(xlabel="questions", ylabel="best perplexity so far", ylim=(best - 1, 125))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    with plt.rc_context({"svg.hashsalt": "rnndsl"}):  # the same bytes for the same data
        figure.savefig(place, metadata={"Date": None})
    plt.close(figure)
