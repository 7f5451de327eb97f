"""What a searcher is: asked for the next cell, told how cells did.

A searcher knows no storage.  All that it has learnt it was told, one finished trial at a time
in the order of their numbers, so that a study is resumed by telling a new searcher every
recorded trial again.  For that to give the same proposals as a run without a break, ``ask``
may depend only on the space, the seed, its own arguments and what was told before.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rnndsl.search.record import Kind
from rnndsl.syntax import CellDefinition

# Name and option label of every choice that was made, parents first, in the order of the text.
Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """How a proposal came about: kept with its trial, and handed back when it is told.

    ``how`` is for people (`random`, `mutation: swap u`, `crossover`); ``parents`` are numbers of
    trials; ``notes`` are the searcher's own plain values (JSON), which it may need again.
    """

    how: str
    parents: tuple[int, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a storage."""
        return {"how": self.how, "parents": list(self.parents), "notes": dict(self.notes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Origin:
        """The reverse of :meth:`to_json`."""
        return cls(values["how"], tuple(values["parents"]), dict(values["notes"]))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A cell to be judged.

    ``choices`` make ``cell`` out of the space; they are empty when the cell is an edit of a
    plain cell, which is then all that there is to record.
    """

    cell: CellDefinition
    choices: Choices
    origin: Origin


@dataclass(frozen=True, slots=True)
class Judged:
    """A finished trial.

    ``scores`` has one number per objective, lower is better, and is empty when there is no
    score (rejected, diverged, failed, pruned, lost).  A duplicate has the scores of the trial
    whose cell it repeats, if that has any.  ``curve`` is what was reported on the way, by rung.
    """

    number: int
    kind: Kind
    choices: Choices
    text: str = ""
    hash: str = ""
    scores: tuple[float, ...] = ()
    curve: Mapping[int, float] = field(default_factory=dict)
    origin: Origin = field(default_factory=lambda: Origin(""))


class Searcher(Protocol):
    """Proposes cells of one space and learns from how they did."""

    def ask(self, turn: int, running: Sequence[Choices] = ()) -> Proposal | None:
        """The next cell; None when there is certainly none that was not proposed before.

        ``turn`` is a source of randomness and nothing else: the same turn after the same trials
        gives the same proposal.  A study counts its trials that stand, finished or under way,
        so that what was interrupted and done again is one turn.  ``running`` are the choices
        that other workers are trying just now; of a plain cell, its text as the only label.
        """

    def tell(self, trial: Judged) -> None:
        """Learn from a finished trial, this searcher's own or another's.

        Every finished trial is told once, in the order of numbers where one worker runs.  Any
        kind is harmless; so are choices that the space does not know, or no longer.
        """


def derived_seed(seed: int, turn: int | str) -> int:
    """A 32-bit seed of its own for a turn; equal on every machine."""
    return random.Random(f"{seed} {turn}").getrandbits(32)


def derived_rng(seed: int, turn: int | str) -> random.Random:
    """A generator seeded by :func:`derived_seed`."""
    return random.Random(derived_seed(seed, turn))
