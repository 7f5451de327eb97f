"""Regularised evolution (Real et al. 2019): the oldest dies, not the worst."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

from rnndsl.search.record import TRAINED
from rnndsl.search.searchers.genomes import Breeder, CellBreeder, SpaceBreeder
from rnndsl.search.searchers.protocol import Choices, Judged, Origin, Proposal, derived_rng
from rnndsl.search.searchers.scores import places
from rnndsl.search.space import Space

_ATTEMPTS = 30  # children in a row that are known already, before a random cell takes their place


class EvolutionSearcher:
    """A population of the latest ``population`` trained cells, whatever they scored.

    The first of them are random.  Then each child has as its parent the best of ``sample``
    members drawn from the population; with probability ``crossover`` a second one, drawn
    likewise.  Cells that never trained (rejected, duplicate) are no members.  A space without
    holes is one plain cell, whose equations are edited.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        population: int = 20,
        sample: int = 5,
        crossover: float = 0.3,
    ) -> None:
        self._seed, self._sample, self._crossover = seed, max(1, sample), crossover
        self._size = max(2, population)
        self._breeder: Breeder[Any] = SpaceBreeder(space) if space.roots else CellBreeder(space)
        self._population: deque[tuple[Judged, Any]] = deque(maxlen=self._size)

    def tell(self, trial: Judged) -> None:
        self._breeder.note(trial)
        if trial.kind not in TRAINED:
            return
        genome = self._breeder.read(trial)
        if genome is not None:
            self._population.append((trial, genome))

    def ask(self, turn: int, running: Sequence[Choices] = ()) -> Proposal | None:
        draw = derived_rng(self._seed, turn)
        if len(self._population) == self._size:
            order = places([trial for trial, _ in self._population])
            for _ in range(_ATTEMPTS):
                one = self._tournament(order, draw)
                trial, genome = self._population[one]
                parents: tuple[int, ...] = (trial.number,)
                if draw.random() < self._crossover:
                    other, second = self._population[self._tournament(order, draw)]
                    child, how = self._breeder.cross(genome, second, draw)
                    parents = (trial.number, other.number)
                else:
                    child, how = self._breeder.mutate(genome, draw)
                    how = f"mutation: {how}"
                if self._breeder.is_new(child, running):
                    return self._breeder.propose(child, Origin(how, parents))
        found = self._breeder.first(draw, running)
        return None if found is None else self._breeder.propose(found, Origin("random"))

    def _tournament(self, order: Sequence[float], draw: Random) -> int:
        members = draw.sample(range(len(order)), min(self._sample, len(order)))
        return min(members, key=lambda member: (order[member], -member))
