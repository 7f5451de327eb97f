"""What evolution varies: the choices of a space, or the equations of a plain cell."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from rnndsl.diagnostics import RnndslError
from rnndsl.search.counting import Derivation
from rnndsl.search.reading import candidate_text
from rnndsl.search.searchers import edits
from rnndsl.search.searchers.derivations import propose, read_choices
from rnndsl.search.searchers.news import News
from rnndsl.search.searchers.plain import cell_of_text
from rnndsl.search.searchers.protocol import Choices, Judged, Origin, Proposal
from rnndsl.search.searchers.variation import Variation
from rnndsl.search.space import Space

Genome = TypeVar("Genome")


class Breeder(Protocol, Generic[Genome]):
    """How to make, vary and propose genomes of one kind."""

    def note(self, trial: Judged) -> None:
        """Remember what was proposed."""

    def read(self, trial: Judged) -> Genome | None:
        """The genome of a trial; None when there is none (any more)."""

    def is_new(self, genome: Genome, running: Sequence[Choices]) -> bool:
        """Whether it was not proposed before and is not under way."""

    def first(self, draw: random.Random, running: Sequence[Choices]) -> Genome | None:
        """A genome without parents; None when all were proposed."""

    def mutate(self, parent: Genome, draw: random.Random) -> tuple[Genome, str]:
        """One edit, and what it was."""

    def cross(self, left: Genome, right: Genome, draw: random.Random) -> tuple[Genome, str]:
        """A child of two."""

    def propose(self, genome: Genome, origin: Origin) -> Proposal:
        """The genome as a cell."""


class SpaceBreeder:
    """Derivations of a space."""

    def __init__(self, space: Space) -> None:
        self._space, self._news, self._variation = space, News(space), Variation(space)

    def note(self, trial: Judged) -> None:
        self._news.note(trial.choices)

    def read(self, trial: Judged) -> Derivation | None:
        return read_choices(self._space, trial.choices) if trial.choices else None

    def is_new(self, genome: Derivation, running: Sequence[Choices]) -> bool:
        return self._news.is_new(genome, running)

    def first(self, draw: random.Random, running: Sequence[Choices]) -> Derivation | None:
        return self._news.find(draw, running)

    def mutate(self, parent: Derivation, draw: random.Random) -> tuple[Derivation, str]:
        return self._variation.mutate(parent, draw)

    def cross(
        self, left: Derivation, right: Derivation, draw: random.Random
    ) -> tuple[Derivation, str]:
        return self._variation.cross(left, right, draw)

    def propose(self, genome: Derivation, origin: Origin) -> Proposal:
        return propose(self._space, genome, origin)


class CellBreeder:
    """Texts of plain cells; all descend from the one cell that the space holds."""

    # Random cells of a population without one: the first cell after so many edits at most.
    _FIRST_EDITS = 4

    def __init__(self, space: Space) -> None:
        self._space = space
        self._known: set[str] = set()

    def note(self, trial: Judged) -> None:
        self._known.add(trial.text)

    def read(self, trial: Judged) -> str | None:
        try:
            cell_of_text(trial.text)
        except (RnndslError, IndexError):
            return None
        return None if trial.choices else trial.text

    def is_new(self, genome: str, running: Sequence[Choices]) -> bool:
        under_way = {text for choices in running for _, text in choices}
        return genome not in self._known and genome not in under_way

    def first(self, draw: random.Random, running: Sequence[Choices]) -> str | None:
        genome = self._space.text
        if self.is_new(genome, running):
            return genome
        for _ in range(draw.randint(1, self._FIRST_EDITS)):
            genome, _ = self.mutate(genome, draw)
        return genome

    def mutate(self, parent: str, draw: random.Random) -> tuple[str, str]:
        cell, how = edits.mutate(self._space, parent, draw)
        return candidate_text(self._space, cell), how

    def cross(self, left: str, right: str, draw: random.Random) -> tuple[str, str]:
        cell, how = edits.cross(self._space, left, right, draw)
        return candidate_text(self._space, cell), how

    def propose(self, genome: str, origin: Origin) -> Proposal:
        return Proposal(cell_of_text(genome), (), origin)
