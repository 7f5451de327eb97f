"""The controller of the reinforcement-learning searcher: one of our own cells, unrolled over the
decisions that make a cell (after Zoph & Le 2016)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import rnndsl
from rnndsl.search.counting import Derivation
from rnndsl.search.searchers.protocol import Choices
from rnndsl.search.space import Space

_EMBEDDING = 16


@dataclass(frozen=True, slots=True)
class Steps:
    """Decision sequences side by side, all [T, B]: which choice, what was decided before it, what
    was decided, and 1 where there is a decision."""

    names: Tensor
    before: Tensor
    labels: Tensor
    present: Tensor


class Policy(nn.Module):
    """Probabilities of each option, given all decisions so far.

    At each step the cell reads the choice that is to be made and the option that was taken
    last.  All choices share one output layer over all option labels of the space, of which the
    legal ones are kept: so what is learnt of `tanh` at one place is a guess for another.
    """

    def __init__(self, space: Space, cell: str, hidden: int, seed: int) -> None:
        super().__init__()
        self._space = space
        names = list(space.table)
        labels = sorted({label for choice in space.table.values() for label in choice.labels})
        self._names = {name: k for k, name in enumerate(names)}
        self._labels = {label: k for k, label in enumerate(labels)}
        self._options = {
            name: [self._labels[label] for label in space.table[name].labels] for name in names
        }
        legal = torch.full((len(names), len(labels)), -math.inf, dtype=torch.float64)
        for name, options in self._options.items():
            legal[self._names[name], options] = 0.0
        self.register_buffer("_legal", legal, persistent=False)
        self._legal: Tensor
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.choice = nn.Embedding(len(names), _EMBEDDING, dtype=torch.float64)
            self.last = nn.Embedding(len(labels) + 1, _EMBEDDING, dtype=torch.float64)
            self.cell = rnndsl.layer(
                cell, 2 * _EMBEDDING, hidden, dtype=torch.float64, backend="torch"
            )
            self.head = nn.Linear(hidden, len(labels), dtype=torch.float64)
        # The first cells are drawn nearly evenly from the options of each choice.
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def log_probabilities(self, steps: Steps) -> Tensor:
        """[T, B, labels]; minus infinity for options that the choice does not have."""
        read = torch.cat((self.choice(steps.names), self.last(steps.before)), dim=-1)
        seen, _ = self.cell(read)
        return torch.log_softmax(self.head(seen) + self._legal[steps.names], dim=-1)

    @torch.no_grad()
    def draw(self, generator: random.Random) -> tuple[Derivation, list[float]]:
        """A derivation and the log-probability of each of its decisions, in its order."""
        derivation: Derivation = {}
        logs: list[float] = []
        state = None
        last = len(self._labels)

        def visit(names: Sequence[str]) -> None:
            nonlocal state, last
            for name in names:
                place = torch.tensor([[self._names[name]]])
                read = torch.cat((self.choice(place), self.last(torch.tensor([[last]]))), dim=-1)
                seen, state = self.cell(read, state)
                values = torch.log_softmax(self.head(seen[0, 0]) + self._legal[place[0, 0]], dim=-1)
                options = self._options[name]
                index = _pick(generator, [math.exp(float(values[k])) for k in options])
                last = options[index]
                logs.append(float(values[last]))
                derivation[name] = index
                visit(self._space.nested(self._space.table[name].options[index]))

        visit(self._space.roots)
        return derivation, logs

    def steps(self, sequences: Sequence[Choices]) -> Steps:
        """Recorded choices, padded to one length."""
        length = max(map(len, sequences))
        shape = (length, len(sequences))
        names, labels = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        before = torch.full(shape, len(self._labels))
        present = torch.zeros(shape, dtype=torch.float64)
        for column, choices in enumerate(sequences):
            for row, (name, label) in enumerate(choices):
                names[row, column] = self._names[name]
                labels[row, column] = self._labels[label]
                present[row, column] = 1.0
                if row + 1 < length:
                    before[row + 1, column] = self._labels[label]
        return Steps(names, before, labels, present)


def _pick(generator: random.Random, weights: Sequence[float]) -> int:
    point = generator.random() * sum(weights)
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    return len(weights) - 1
