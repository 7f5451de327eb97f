"""Random search: sizes alike, then any cell of the size, and none twice."""

from __future__ import annotations

from collections.abc import Sequence

from rnndsl.search.searchers.derivations import propose
from rnndsl.search.searchers.news import News
from rnndsl.search.searchers.protocol import Choices, Judged, Origin, Proposal, derived_rng
from rnndsl.search.space import Space


class RandomSearcher:
    """Draws whole derivations: a size first, each as likely, then any cell of it."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed
        self._news = News(space)

    def ask(self, turn: int, running: Sequence[Choices] = ()) -> Proposal | None:
        derivation = self._news.find(derived_rng(self._seed, turn), running)
        return None if derivation is None else propose(self._space, derivation, Origin("random"))

    def tell(self, trial: Judged) -> None:
        self._news.note(trial.choices)
