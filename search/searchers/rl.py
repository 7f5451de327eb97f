"""Reinforcement learning: a recurrent network makes the decisions and is rewarded for scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from rnndsl.search.record import REDONE
from rnndsl.search.searchers.derivations import label_choices, propose, read_choices
from rnndsl.search.searchers.news import News
from rnndsl.search.searchers.policy import Policy, Steps
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

LOGS = "logp"  # the note of a proposal: the log-probability of each decision when it was made

_ATTEMPTS = 20
_EPOCHS = 4  # of PPO over one batch
_CLIP = 0.2
_BASELINE = 0.8  # how much of the moving average stays from one batch to the next
_NORM = 1.0  # gradients are clipped to it


class RlSearcher:
    """A controller that is one of our own cells, trained by REINFORCE or PPO.

    ``update``: ``reinforce`` (Williams 1992, as in Zoph & Le 2016) or ``ppo`` (Schulman et al.
    2017: four epochs with clipped probability ratios).  Both have the moving average of rewards
    as their baseline, and a bonus for ``entropy``.  The network is updated after each ``batch``
    of its own trials.  ``reward``: ``rank`` is 1 for the best of all trials so far and -1 for
    the worst; ``scale`` is how many standard deviations a score is better than the mean, within
    3.  Cells that do not pass the checks, diverge or fail get the least reward.
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
        self._ppo, self._ranks = update == "ppo", reward == "rank"
        self._batch, self._entropy = max(1, batch), entropy
        self._news = News(space)
        self._told: list[Judged] = []
        self._fresh: list[tuple[int, Choices, list[float]]] = []  # own trials since the update
        self._average: float | None = None
        with _one_thread():
            self._policy = Policy(space, cell, hidden, derived_seed(seed, "policy"))
        self._optimizer = torch.optim.Adam(self._policy.parameters(), lr=lr)

    def ask(self, turn: int, running: Sequence[Choices] = ()) -> Proposal | None:
        draw = derived_rng(self._seed, turn)
        derivation = None
        for _ in range(0 if self._news.exhausted else _ATTEMPTS):
            with _one_thread():
                derivation, logs = self._policy.draw(draw)
            if self._news.is_new(derivation, running):
                origin = Origin("rl", notes={LOGS: logs})
                proposal = propose(self._space, derivation, origin)
                # In the order of the network's decisions, which is that of the logarithms.
                choices = label_choices(self._space, derivation)
                return Proposal(proposal.cell, choices, origin)
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
        self._fresh.append((len(self._told) - 1, label_choices(self._space, derivation), logs))
        if len(self._fresh) == self._batch:
            with _one_thread():
                self._learn()
            self._fresh.clear()

    # --------------------------------------------------------------------------- learning

    def _learn(self) -> None:
        all_rewards = self._rewards()
        rewards = [all_rewards[index] for index, _, _ in self._fresh]
        mean = sum(rewards) / len(rewards)
        if self._average is None:
            self._average = mean
        gains = torch.tensor([r - self._average for r in rewards], dtype=torch.float64)
        self._average = _BASELINE * self._average + (1 - _BASELINE) * mean
        steps = self._policy.steps([choices for _, choices, _ in self._fresh])
        old = torch.zeros_like(steps.present)
        for column, (_, _, logs) in enumerate(self._fresh):
            old[: len(logs), column] = torch.tensor(logs, dtype=torch.float64)
        for _ in range(_EPOCHS if self._ppo else 1):
            loss = self._loss(steps, old, gains)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._policy.parameters(), _NORM)
            self._optimizer.step()

    def _loss(self, steps: Steps, old: Tensor, gains: Tensor) -> Tensor:
        logs = self._policy.log_probabilities(steps)
        taken = logs.gather(-1, steps.labels[..., None])[..., 0]
        taken = torch.where(steps.present > 0, taken, 0.0)
        finite = torch.where(logs.isfinite(), logs, 0.0)
        entropy = -(finite.exp() * finite * logs.isfinite()).sum(-1) * steps.present
        if self._ppo:
            ratio = (taken - old).exp()
            clipped = ratio.clamp(1 - _CLIP, 1 + _CLIP)
            objective = torch.minimum(ratio * gains, clipped * gains) * steps.present
        else:
            objective = taken * gains
        total = objective.sum(0) + self._entropy * entropy.sum(0)
        return -total.mean()

    def _rewards(self) -> list[float]:
        """The reward of every trial told so far, from -1 (or -3) for the worst."""
        told = self._told
        if self._ranks or any(len(trial.scores) > 1 for trial in told):
            last = max(1, len(told) - 1)
            return [1 - 2 * place / last for place in places(told)]
        scores = torch.tensor(
            [trial.scores[0] for trial in told if is_scored(trial)], dtype=torch.float64
        )
        if len(scores) < 2:
            return [0.0 if is_scored(trial) else -3.0 for trial in told]
        mean, spread = float(scores.mean()), float(scores.std()) or 1.0
        return [
            max(-3.0, min(3.0, (mean - trial.scores[0]) / spread)) if is_scored(trial) else -3.0
            for trial in told
        ]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums do not depend on how many threads the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
