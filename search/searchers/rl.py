"""Reinforcement learning: a recurrent network makes the decisions and is rewarded for scores."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

from rnndsl.search.counting import Derivation
from rnndsl.search.record import REDONE
from rnndsl.search.searchers.derivations import label_choices, propose, read_choices
from rnndsl.search.searchers.news import News
from rnndsl.search.searchers.protocol import (
    Choices,
    Judged,
    Origin,
    Proposal,
    derived_rng,
    derived_seed,
)
from rnndsl.search.searchers.scores import is_scored, places
from rnndsl.search.space import Space
from rnndsl.training.controller import Controller, Episode

LOGS = "logp"  # the note of a proposal: the log-probability of each decision when it was made

_ATTEMPTS = 20
_BASELINE = 0.8  # how much of the moving average stays from one batch to the next


class RlSearcher:
    """A controller that is one of our own cells, trained by REINFORCE or PPO.

    ``update``: ``reinforce`` (Williams 1992, as in Zoph & Le 2016) or ``ppo`` (Schulman et al.
    2017).  Both have the moving average of rewards as their baseline, and a bonus for
    ``entropy``.  The network is updated after each ``batch`` of its own trials.  ``reward``:
    ``rank`` is 1 for the best of all trials so far and -1 for the worst; ``scale`` is how many
    standard deviations a score is better than the mean, within 3.  Cells that do not pass the
    checks, diverge or fail get the least reward.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        update: str = "reinforce",
        cell: str = "lstm",
        hidden: int = 32,
        batch: int = 4,
        lr: float = 0.03,
        entropy: float = 0.01,
        reward: str = "rank",
    ) -> None:
        self._space, self._seed = space, seed
        self._ppo, self._ranks, self._batch = update == "ppo", reward == "rank", max(1, batch)
        self._news = News(space)
        self._told: list[Judged] = []
        self._fresh: list[tuple[int, Episode]] = []  # own trials since the last update
        self._average: float | None = None
        table = space.table
        labels = sorted({label for choice in table.values() for label in choice.labels})
        self._names = {name: number for number, name in enumerate(table)}
        self._labels = {label: number for number, label in enumerate(labels)}
        self._controller = Controller(
            [[self._labels[label] for label in choice.labels] for choice in table.values()],
            len(labels),
            cell=cell,
            hidden=hidden,
            lr=lr,
            entropy=entropy,
            seed=derived_seed(seed, "policy"),
        )

    def ask(self, turn: int, running: Sequence[Choices] = ()) -> Proposal | None:
        draw = derived_rng(self._seed, turn)
        derivation = None
        for _ in range(0 if self._news.exhausted else _ATTEMPTS):
            derivation, logs = self._draw(draw)
            if self._news.is_new(derivation, running):
                origin = Origin("rl", notes={LOGS: logs})
                cell = propose(self._space, derivation, origin).cell
                # In the order of the network's decisions, which is that of the logarithms.
                return Proposal(cell, label_choices(self._space, derivation), origin)
        return self._news.propose_near(derivation, "rl", draw, running)

    def tell(self, trial: Judged) -> None:
        self._news.note(trial.choices)
        if trial.kind in REDONE:
            return
        self._told.append(trial)
        logs = trial.origin.notes.get(LOGS)
        derivation = read_choices(self._space, trial.choices)
        if logs is None or derivation is None or len(logs) != len(derivation):
            return  # another's, or of the space before it grew
        choices = label_choices(self._space, derivation)
        episode = Episode(
            tuple(self._names[name] for name, _ in choices),
            tuple(self._labels[label] for _, label in choices),
            tuple(logs),
        )
        self._fresh.append((len(self._told) - 1, episode))
        if len(self._fresh) == self._batch:
            self._learn()
            self._fresh.clear()

    def _draw(self, draw: random.Random) -> tuple[Derivation, list[float]]:
        """A derivation by the network, and the logarithm of the probability of each decision."""
        derivation: Derivation = {}
        logs: list[float] = []
        walk = self._controller.begin()

        def visit(names: Sequence[str]) -> None:
            for name in names:
                choice = self._space.table[name]
                values = walk.logarithms(self._names[name])
                index = draw.choices(range(len(values)), [math.exp(v) for v in values])[0]
                walk.take(self._labels[choice.labels[index]])
                logs.append(values[index])
                derivation[name] = index
                visit(self._space.nested(choice.options[index]))

        visit(self._space.roots)
        return derivation, logs

    def _learn(self) -> None:
        every = self._rewards()
        rewards = [every[index] for index, _ in self._fresh]
        mean = statistics.fmean(rewards)
        average = mean if self._average is None else self._average
        self._average = _BASELINE * average + (1 - _BASELINE) * mean
        gains = [reward - average for reward in rewards]
        self._controller.learn([episode for _, episode in self._fresh], gains, self._ppo)

    def _rewards(self) -> list[float]:
        """The reward of every trial told so far, from -1 (or -3) for the worst."""
        told = self._told
        if self._ranks or any(len(trial.scores) > 1 for trial in told):
            last = max(1, len(told) - 1)
            return [1 - 2 * place / last for place in places(told)]
        scores = [trial.scores[0] for trial in told if is_scored(trial)]
        mean = statistics.fmean(scores) if scores else 0.0
        spread = (statistics.stdev(scores) if len(scores) > 1 else 0.0) or 1.0
        return [
            max(-3.0, min(3.0, (mean - trial.scores[0]) / spread)) if is_scored(trial) else -3.0
            for trial in told
        ]
