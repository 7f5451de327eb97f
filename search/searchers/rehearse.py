"""A search in memory against any function of a cell: for benchmarks of searchers and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rnndsl.diagnostics import RnndslError
from rnndsl.search.candidate import Candidate, read_candidate
from rnndsl.search.reading import candidate_text
from rnndsl.search.searchers.protocol import Judged, Proposal, Searcher
from rnndsl.search.space import Space

# Scores, lower is better; an empty tuple for a cell that fails.
Score = Callable[[Candidate], tuple[float, ...]]


def rehearse(
    searcher: Searcher,
    space: Space,
    score: Score,
    trials: int,
    history: Sequence[Judged] = (),
) -> list[Judged]:
    """The trials of a search until there are ``trials`` of them, or nothing new is left.

    A cell that was proposed before, by its text or its canonical hash, is not scored again: its
    trial is a duplicate with the earlier scores.  One that does not pass the checks is
    rejected.  ``history`` are earlier trials, which the searcher is told first.
    """
    judged = list(history)
    texts = {trial.text: trial for trial in reversed(judged)}
    hashes = {trial.hash: trial for trial in reversed(judged) if trial.hash}
    for trial in judged:
        searcher.tell(trial)
    while len(judged) < trials:
        proposal = searcher.ask(len(judged))
        if proposal is None:
            break
        trial = _judge(space, score, proposal, len(judged), texts, hashes)
        texts.setdefault(trial.text, trial)
        if trial.hash:
            hashes.setdefault(trial.hash, trial)
        judged.append(trial)
        searcher.tell(trial)
    return judged


def _judge(
    space: Space,
    score: Score,
    proposal: Proposal,
    number: int,
    texts: dict[str, Judged],
    hashes: dict[str, Judged],
) -> Judged:
    text = candidate_text(space, proposal.cell)
    trial = Judged(number, "rejected", proposal.choices, text, origin=proposal.origin)
    known = texts.get(text)
    if known is None:
        try:
            candidate = read_candidate(text, proposal.choices)
        except RnndslError:
            return trial
        trial = replace(trial, hash=candidate.hash)
        known = hashes.get(candidate.hash)
    if known is not None:
        return replace(trial, kind="duplicate", hash=known.hash, scores=known.scores)
    scores = score(candidate)
    return replace(trial, kind="scored" if scores else "diverged", scores=scores)
