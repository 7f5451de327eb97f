"""Looking at a space without searching it: its size, cells drawn from it, or all of them."""

from __future__ import annotations

import math
import random

from rnndsl.diagnostics import RnndslError
from rnndsl.search.candidate import read_candidate
from rnndsl.search.counting import Counter, enumerate_derivations
from rnndsl.search.errors_spaces import TooManyCells
from rnndsl.search.fill import fill_derivation
from rnndsl.search.fitting import fit_of
from rnndsl.search.reading import candidate_text
from rnndsl.search.screen import find_flaw
from rnndsl.search.space import Space

MOST = 10_000  # cells that are listed
_SHOWN_SIZES = 12


def size_line(space: Space) -> str:
    """The name of the space, its choices and how many cells it has."""
    total = Counter(space).total
    shown = f"{total:,}" if total < 10**15 else f"about 10^{math.floor(math.log10(total))}"
    return f"{space.name}: {len(space.choices)} choices, {shown} cells"


def show(space: Space, count: int, seed: int) -> None:
    """Print the choices of the space and ``count`` cells drawn from it."""
    print(size_line(space))
    for choice in space.choices:
        if choice.name in space.roots:
            print(f"  {choice.name}: {' | '.join(choice.labels)}")
    counter, generator = Counter(space), random.Random(seed)
    for _ in range(count):
        derivation = counter.draw_by_size(generator)
        print()
        print(candidate_text(space, fill_derivation(space, derivation)), end="")


def show_count(space: Space, draws: int, seed: int) -> None:
    """Print the exact number of cells, by how many choices they make, and how many are sound."""
    counter = Counter(space)
    print(f"{space.name}: {counter.total:,} ways to make {len(space.choices)} choices")
    sizes = counter.sizes
    for size in sizes[:_SHOWN_SIZES]:
        print(f"  {size:>3} choices: {counter.by_size[size]:,}")
    if len(sizes) > _SHOWN_SIZES:
        print(f"  ... up to {sizes[-1]} choices: {counter.by_size[sizes[-1]]:,}")
    fit = fit_of(space, draws, seed)
    print(f"of {fit.drawn} cells, drawn by size, {fit.passed} pass the checks")
    for reason, count in fit.reasons[:5]:
        print(f"  {count}: {reason}")


def show_all(space: Space) -> None:
    """Print every cell of a small space, each once: cells that are equal, with the others' count,
    and what is wrong with those that are not worth training.  RnndslError (E0644) for a large one.
    """
    total = Counter(space).total
    if total > MOST:
        raise RnndslError(TooManyCells(None, space.name, f"{total:,}", f"{MOST:,}"))
    first: dict[str, str] = {}
    repeats: dict[str, int] = {}
    flaws: dict[str, str] = {}
    failed = 0
    for derivation in enumerate_derivations(space):
        text = candidate_text(space, fill_derivation(space, derivation))
        try:
            found = read_candidate(text)
        except RnndslError:
            failed += 1
            continue
        if found.hash in first:
            repeats[found.hash] += 1
            continue
        first[found.hash], repeats[found.hash] = text, 0
        flaws[found.hash] = find_flaw(found.lowered)
    sound = sum(not flaw for flaw in flaws.values())
    print(
        f"{space.name}: {total:,} cells, {len(first):,} of them different, {sound:,} worth training"
    )
    if failed:
        print(f"{failed:,} do not pass the checks")
    for key, text in first.items():
        others = f"; {repeats[key]} more are equal to it" if repeats[key] else ""
        print(f"\n# {key}{others}")
        if flaws[key]:
            print(f"# not worth training: {flaws[key]}")
        print(text, end="")
