"""From what trials scored to one order of them, whatever the number of objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rnndsl.search.searchers.protocol import Judged


def last_report(trial: Judged) -> float:
    """What a trial without a score had reached when it ended; infinity if nothing."""
    value = trial.curve[max(trial.curve)] if trial.curve else math.inf
    return value if math.isfinite(value) else math.inf


def places(trials: Sequence[Judged]) -> list[float]:
    """The place of each trial among these, 0 for the best; of equals the mean place.

    Trials with scores come first: by score, or with several objectives by the fronts of Pareto
    and within a front by crowding distance (Deb et al. 2002).  Then pruned ones by what they
    had reached, the later stopped first; then all that never gave a number.
    """
    keys = _keys(trials)
    ordered = sorted(keys)
    first = {key: place for place, key in reversed(list(enumerate(ordered)))}
    last = {key: place for place, key in enumerate(ordered)}
    return [(first[key] + last[key]) / 2 for key in keys]


def _keys(trials: Sequence[Judged]) -> list[tuple[float, ...]]:
    scored = [k for k, t in enumerate(trials) if is_scored(t)]
    fronts = dict(zip(scored, _front_keys([trials[k].scores for k in scored]), strict=True))
    keys: list[tuple[float, ...]] = []
    for k, trial in enumerate(trials):
        if k in fronts:
            keys.append((0.0, *fronts[k]))
        elif trial.kind == "pruned":
            keys.append((1.0, -max(trial.curve, default=-1), last_report(trial)))
        else:
            keys.append((2.0, 0.0, 0.0))
    return keys


def is_scored(trial: Judged) -> bool:
    """Whether a trial has finite scores."""
    return bool(trial.scores) and all(map(math.isfinite, trial.scores))


def _front_keys(scores: Sequence[tuple[float, ...]]) -> list[tuple[float, float]]:
    if all(len(values) == 1 for values in scores):
        return [(values[0], 0.0) for values in scores]
    keys: dict[int, tuple[float, float]] = {}
    left = list(range(len(scores)))
    front = 0
    while left:
        best = [k for k in left if not any(dominates(scores[j], scores[k]) for j in left)]
        crowding = _crowding([scores[k] for k in best])
        keys |= {k: (float(front), -gap) for k, gap in zip(best, crowding, strict=True)}
        left = [k for k in left if k not in keys]
        front += 1
    return [keys[k] for k in range(len(scores))]


def dominates(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    """Whether ``left`` is nowhere worse than ``right`` and somewhere better."""
    pairs = list(zip(left, right, strict=False))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _crowding(scores: Sequence[tuple[float, ...]]) -> list[float]:
    gaps = [0.0] * len(scores)
    for axis in range(min(map(len, scores), default=0)):
        order = sorted(range(len(scores)), key=lambda k: scores[k][axis])
        span = scores[order[-1]][axis] - scores[order[0]][axis] or 1.0
        gaps[order[0]] = gaps[order[-1]] = math.inf
        for before, middle, after in zip(order, order[1:], order[2:], strict=False):
            gaps[middle] += (scores[after][axis] - scores[before][axis]) / span
    return gaps
