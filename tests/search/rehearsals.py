"""Searches in memory for the tests of searchers; as a program, it prints what all propose."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rnndsl.search.candidate import Candidate
from rnndsl.search.reading import read_space
from rnndsl.search.searchers.protocol import Judged, Origin, Searcher
from rnndsl.search.searchers.ranked import RankedSearcher
from rnndsl.search.searchers.rehearse import Score, rehearse
from rnndsl.search.searchers.table import find_searcher
from rnndsl.search.space import Space

SMALL = """\
space S(D, H):
    input x: [D]
    state h: [H]

    g = sigmoid(?expr(x, h, depth = 1))
    u = ?act(tanh | sin | relu)(linear[H](x, ?(h | g * h)))

    h' = g * h + (1 - g) * u
    return h'
"""

# Searchers whose first, random phase is over after a few trials.
NAMES = (
    "random",
    "tpe",
    "gp",
    "nsga2,population=4",
    "evolution,population=4,sample=2",
    "rl,batch=3",
    "ranked:random",
)
MORE = (*NAMES, "rl,update=ppo,batch=3,reward=scale", "ranked:rl,batch=3")


def make(name: str, space: Space, seed: int = 0, warmup: int = 4) -> Searcher:
    """A searcher; the ranked ones see few cells, and cheap features of them."""
    if not name.startswith("ranked:"):
        return find_searcher(name).make(space, seed)
    inner = find_searcher(name.removeprefix("ranked:")).make(space, seed)
    return RankedSearcher(space, seed, inner, _words, draws=8, warmup=warmup)


def run(
    name: str,
    trials: int,
    *,
    text: str = SMALL,
    seed: int = 0,
    score: Score | None = None,
    history: Sequence[Judged] = (),
) -> list[Judged]:
    """The trials of a search by the searcher of that name."""
    space = read_space(text)
    return rehearse(make(name, space, seed), space, score or score_of, trials, history)


def score_of(candidate: Candidate) -> tuple[float, ...]:
    """Any fixed function of the text: short cells, and those with a sine, do well."""
    return (len(candidate.text) / 100 - 0.5 * candidate.text.count("sin("),)


def stored(trials: Sequence[Judged]) -> list[Judged]:
    """The trials as they come back from a storage that keeps JSON."""
    return [
        replace(t, origin=Origin.from_json(json.loads(json.dumps(t.origin.to_json()))))
        for t in trials
    ]


def told(trials: Sequence[Judged]) -> list[tuple[str, str, tuple[float, ...]]]:
    """What is to be the same in two searches that are the same."""
    return [(trial.text, trial.origin.how, trial.scores) for trial in trials]


def _words(candidate: Candidate) -> dict[str, float]:
    return dict(Counter(re.findall(r"\w+|[+*-]", candidate.text)))


def main() -> None:
    """Print the proposals of all searchers."""
    for name in MORE:
        for trial in run(name, 12):
            print(name, trial.origin.how, trial.choices, trial.scores)


if __name__ == "__main__":
    main()
