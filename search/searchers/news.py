"""What of a space was proposed before, and something that was not."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from rnndsl.search.counting import Counter, Derivation, enumerate_derivations
from rnndsl.search.searchers.derivations import propose, read_choices
from rnndsl.search.searchers.protocol import Choices, Origin, Proposal
from rnndsl.search.searchers.variation import Variation, find_near
from rnndsl.search.space import Space

# A space of at most so many cells is listed once, to find what is left of it.
_LISTED = 5000
_DRAWS = 200


class News:
    """What of a space was proposed before, and something that was not."""

    def __init__(self, space: Space) -> None:
        self.space, self.counter = space, Counter(space)
        self._variation = Variation(space)
        self._known: set[frozenset[tuple[str, int]]] = set()

    def note(self, choices: Choices) -> None:
        """Remember recorded choices; those that the space does not know are no cell of it."""
        if choices or not self.space.roots:
            derivation = read_choices(self.space, choices)
            if derivation is not None:
                self._known.add(_key(derivation))

    def is_new(self, derivation: Derivation, running: Sequence[Choices] = ()) -> bool:
        """Whether nobody has proposed this derivation, nor is trying it now."""
        if _key(derivation) in self._known:
            return False
        return all(read_choices(self.space, choices) != derivation for choices in running)

    def find(self, draw: random.Random, running: Sequence[Choices] = ()) -> Derivation | None:
        """A new derivation, sizes alike; None when there certainly is none.

        In a large space it may be an old one, after many draws of old ones.
        """
        derivation: Derivation = {}
        for _ in range(_DRAWS):
            derivation = self.counter.draw_by_size(draw)
            if self.is_new(derivation, running):
                return derivation
        if self.counter.total > _LISTED:
            return derivation
        left = [found for found in self._all if self.is_new(found, running)]
        return draw.choice(left) if left else None

    def propose_near(
        self,
        favourite: Derivation | None,
        name: str,
        draw: random.Random,
        running: Sequence[Choices] = (),
        notes: Mapping[str, Any] | None = None,
    ) -> Proposal | None:
        """Something new near what a searcher would propose again; anything new if it is far."""
        if favourite is not None:
            found = find_near(
                self._variation, favourite, lambda other: self.is_new(other, running), draw
            )
            if found is not None:
                how = f"{name}, {found[1]}"
                return propose(self.space, found[0], Origin(how, notes=notes or {}))
        new = self.find(draw, running)
        return None if new is None else propose(self.space, new, Origin("random", (), notes or {}))

    @property
    def exhausted(self) -> bool:
        """Whether every derivation of the space was proposed."""
        return len(self._known) >= self.counter.total

    @cached_property
    def _all(self) -> tuple[Derivation, ...]:
        return tuple(enumerate_derivations(self.space))


def _key(derivation: Derivation) -> frozenset[tuple[str, int]]:
    return frozenset(derivation.items())
