"""The tables and the picture, written into docs/ from the records."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from searches import command, rows
from settings import FINAL_SEEDS, FINALISTS, LEARNING_RATES, PROBLEMS, SEARCHES
from standings import Standing, best_published, standard_error, standings

from rnndsl.atomic import write_text_atomically

PAGE, PICTURE = "contest.md", "contest.svg"
_FIRST = 5  # the first cells of a search may be so bad that nothing else could be told apart


def write_page(folder: Path, docs: Path) -> None:
    """``contest.md`` and ``contest.svg`` in ``docs``."""
    parts = [_introduction()]
    for problem in PROBLEMS:
        parts += _problem(folder, problem)
    _draw(folder, docs / PICTURE)
    write_text_atomically(docs / PAGE, "\n".join(parts) + "\n")
    print(f"wrote {docs / PAGE} and {docs / PICTURE}")


def _introduction() -> str:
    rates = ", ".join(f"{rate:g}" for rate in LEARNING_RATES)
    return (
        "# Found cells against published ones\n\n"
        "This page is written by `python docs/contest`, whatever comes out.  All cells have as\n"
        "many parameters as the LSTM, are trained for as many steps on the same data, and each\n"
        f"is given the best of the learning rates {rates} on the validation data.  Of each\n"
        f"search the {FINALISTS} best cells are tuned so, and the best of them on the validation\n"
        f"data goes on.  Then each is trained from {len(FINAL_SEEDS)} fresh seeds and tested once.\n"
        "A difference is to the best published cell with the same seed, with its standard error;\n"
        "below 0 is better.\n\n"
        f"![Best score so far by cells trained]({PICTURE})\n"
    )


def _problem(folder: Path, problem: str) -> list[str]:
    found = standings(folder, problem)
    if not found:
        return []
    settings = PROBLEMS[problem].settings
    digits = _decimals(found)
    unit = rows(folder, problem, next(iter(SEARCHES)))[0]["unit"]
    size = f"as many parameters as an LSTM of width {settings.hidden}"
    return [
        f"## {problem}",
        "",
        f"{settings.steps} steps of {settings.batch} sequences; {size}.",
        "",
        f"| cell | found by | test, {unit} | difference | learning rate | width | parameters |",
        "|---|---|---|---|---|---|---|",
        *(_row(standing, digits) for standing in found),
        "",
        _verdict(found, digits),
        "",
        *_best(folder, problem, found),
        *_searches(folder, problem, found, digits),
        "",
    ]


def _decimals(found: list[Standing]) -> int:
    """So many that the smallest standard error has two digits."""
    return max(4, 1 - math.floor(math.log10(min(standing.error for standing in found))))


def _row(standing: Standing, digits: int) -> str:
    contender = standing.contender
    by = contender.name if contender.found else "published"
    difference = (
        "reference"
        if standing.difference == 0 and not contender.found
        else f"{standing.difference:+.{digits}f} ± {standing.difference_error:.{digits}f}"
    )
    return (
        f"| {contender.cell} | {by} | {standing.mean:.{digits}f} ± {standing.error:.{digits}f} "
        f"| {difference} | {standing.lr:g} | {standing.width} | {standing.parameters:,} |"
    )


def _verdict(found: list[Standing], digits: int) -> str:
    """Whether a found cell is better than the best published one, beyond two standard errors."""
    best = next((standing for standing in found if standing.contender.found), None)
    if best is None:
        return "No search has ended yet."
    name, errors = best.contender.cell, abs(best.difference) / best.difference_error
    than = "better" if best.difference < 0 else "worse"
    sure = "beyond two standard errors" if errors > 2 else "within two standard errors"
    return (
        f"The best found cell, {name}, is {than} than the best published one by "
        f"{abs(best.difference):.{digits}f}, {errors:.1f} standard errors: {sure}."
    )


def _best(folder: Path, problem: str, found: list[Standing]) -> list[str]:
    """The text of the best found cell."""
    name = next((s.contender.cell for s in found if s.contender.found), None)
    if name is None:
        return []
    text = (folder / problem / "cells" / f"{name}.rnn").read_text(encoding="utf-8")
    return ["```", text.rstrip(), "```", ""]


def _searches(folder: Path, problem: str, found: list[Standing], digits: int) -> list[str]:
    lines = [
        "| searcher | cells | steps | best validation loss | test, less random's | command |",
        "|---|---|---|---|---|---|",
    ]
    published = best_published(folder, problem)
    by_name = {standing.contender.name: standing for standing in found}
    for searcher in SEARCHES:
        trained = rows(folder, problem, searcher)
        if not trained:
            continue
        steps = sum(row["steps"] or 0 for row in trained)
        words = command(Path("records"), problem, searcher, published, len(trained), 2)
        best = f"{_score(trained[0]):.{digits}f}" if trained[0]["kind"] == "scored" else "none"
        against = _against(by_name.get(searcher), by_name.get("random"), digits)
        lines.append(
            f"| {searcher} | {len(trained)} | {steps:,} | {best} | {against} "
            f"| `{' '.join(words)}` |"
        )
    return lines


def _against(one: Standing | None, other: Standing | None, digits: int) -> str:
    """The mean difference of two, paired over seeds, with its standard error."""
    if one is None or other is None or one is other:
        return ""
    pairs = tuple(a - b for a, b in zip(one.losses, other.losses, strict=True))
    return f"{statistics.fmean(pairs):+.{digits}f} ± {standard_error(pairs):.{digits}f}"


def _score(row: dict[str, Any]) -> float:
    return float(row["score"])


def _best_so_far(trained: list[dict[str, Any]]) -> list[float]:
    """The best score after each cell; infinite before the first."""
    best, curve = float("inf"), []
    for row in sorted(trained, key=lambda row: row["trial"]):
        best = min(best, _score(row) if row["kind"] == "scored" else best)
        curve.append(best)
    return curve


def _draw(folder: Path, place: Path) -> None:
    shown = [p for p in PROBLEMS if any(rows(folder, p, s) for s in SEARCHES)]
    if not shown:
        return
    figure, axes = plt.subplots(
        1, len(shown), figsize=(4.6 * len(shown), 3.4), squeeze=False, layout="constrained"
    )
    for axis, problem in zip(axes[0], shown, strict=True):
        curves = {s: _best_so_far(rows(folder, problem, s)) for s in SEARCHES}
        for searcher, curve in curves.items():
            axis.step(range(1, len(curve) + 1), curve, where="post", label=searcher)
        seen = [score for curve in curves.values() for score in curve[_FIRST - 1 :]]
        if max(seen) > 10 * min(seen):
            axis.set_yscale("log")
        axis.set_ylim(0.98 * min(seen), 1.02 * max(seen))
        axis.set(title=problem, xlabel="cells trained", ylabel="best score so far")
        axis.grid(alpha=0.3)
    axes[0][0].legend()
    with plt.rc_context({"svg.hashsalt": "rnndsl"}):  # the same bytes for the same data
        figure.savefig(place, metadata={"Date": None})
    plt.close(figure)
