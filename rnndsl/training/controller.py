"""A recurrent network that makes decisions one after another, trained by their reward.

The network is one of our own cells (after Zoph & Le 2016).  Choices and options are numbers here;
what they mean is known to whoever asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import rnndsl

_EMBEDDING = 16
_EPOCHS = 4  # of PPO over one batch
_CLIP = 0.2  # how far PPO lets a probability ratio go
_NORM = 1.0  # gradients are clipped to it


@dataclass(frozen=True, slots=True)
class Episode:
    """Decisions in order: for each the choice, the option taken, and the logarithm of the
    probability that the option had when it was taken."""

    choices: tuple[int, ...]
    options: tuple[int, ...]
    logs: tuple[float, ...]


class Controller:
    """Probabilities of the options of a choice, given all decisions before it.

    At each step the cell reads the choice that is to be made and the option that was taken
    last.  All choices share one output layer over all options, of which only those in
    ``legal[choice]`` are kept, so that what is learnt of an option at one place is a guess for
    another.  Equal seeds and equal histories give equal networks.
    """

    def __init__(
        self,
        legal: Sequence[Sequence[int]],
        options: int,
        *,
        cell: str,
        hidden: int,
        lr: float,
        entropy: float,
        seed: int,
    ) -> None:
        self._legal_options, self._entropy = legal, entropy
        with _one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._net = _Network(legal, options, cell, hidden)
        self._optimizer = torch.optim.Adam(self._net.parameters(), lr=lr)

    def begin(self) -> Walk:
        """A new sequence of decisions."""
        return Walk(self._net, self._legal_options)

    def learn(self, episodes: Sequence[Episode], gains: Sequence[float], ppo: bool) -> None:
        """Make episodes of positive gain more likely, others less; a bonus for entropy.

        REINFORCE (Williams 1992) takes one step; PPO (Schulman et al. 2017) takes four, in
        which the ratio of new to old probabilities counts within 0.8 to 1.2.
        """
        with _one_thread():
            steps = _pad(episodes, self._net.start)
            gained = torch.tensor(list(gains), dtype=torch.float64)
            for _ in range(_EPOCHS if ppo else 1):
                loss = self._loss(steps, gained, ppo)
                self._optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(self._net.parameters(), _NORM)
                self._optimizer.step()

    def _loss(self, steps: _Steps, gains: Tensor, ppo: bool) -> Tensor:
        logs: Tensor = self._net(steps.choices, steps.before)
        taken = logs.gather(-1, steps.options[..., None])[..., 0]
        taken = torch.where(steps.present > 0, taken, 0.0)
        finite = torch.where(logs.isfinite(), logs, 0.0)
        entropy = -(finite.exp() * finite * logs.isfinite()).sum(-1) * steps.present
        if ppo:
            ratio = (taken - steps.logs).exp()
            clipped = ratio.clamp(1 - _CLIP, 1 + _CLIP)
            objective = torch.minimum(ratio * gains, clipped * gains) * steps.present
        else:
            objective = taken * gains
        return -(objective.sum(0) + self._entropy * entropy.sum(0)).mean()


class Walk:
    """One sequence of decisions under way: ask for the weights of a choice, say what is taken."""

    def __init__(self, network: _Network, legal: Sequence[Sequence[int]]) -> None:
        self._network, self._legal = network, legal
        self._state: tuple[Tensor, ...] | None = None
        self._last = network.start

    @torch.no_grad()
    def logarithms(self, choice: int) -> list[float]:
        """The logarithm of the probability of each legal option of the next choice."""
        with _one_thread():
            place, before = torch.tensor([[choice]]), torch.tensor([[self._last]])
            read = self._network.read(place, before)
            seen, self._state = self._network.cell(read, self._state)
            values = self._network.judge(seen, place)[0, 0]
            return [float(values[option]) for option in self._legal[choice]]

    def take(self, option: int) -> None:
        """The option that was decided on."""
        self._last = option


class _Network(nn.Module):
    def __init__(
        self, legal: Sequence[Sequence[int]], options: int, cell: str, hidden: int
    ) -> None:
        super().__init__()
        self.start = options  # stands for the option before the first
        mask = torch.full((len(legal), options), -math.inf, dtype=torch.float64)
        for choice, allowed in enumerate(legal):
            mask[choice, list(allowed)] = 0.0
        self.register_buffer("mask", mask, persistent=False)
        self.mask: Tensor
        self.choice = nn.Embedding(len(legal), _EMBEDDING, dtype=torch.float64)
        self.last = nn.Embedding(options + 1, _EMBEDDING, dtype=torch.float64)
        self.cell = rnndsl.layer(cell, 2 * _EMBEDDING, hidden, dtype=torch.float64, backend="torch")
        self.head = nn.Linear(hidden, options, dtype=torch.float64)
        # The first decisions are drawn nearly evenly from the options of each choice.
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def read(self, choices: Tensor, before: Tensor) -> Tensor:
        """What the cell reads, [T, B, 2 embeddings]."""
        return torch.cat((self.choice(choices), self.last(before)), dim=-1)

    def judge(self, seen: Tensor, choices: Tensor) -> Tensor:
        """Logarithms of probabilities, [T, B, options]; minus infinity for illegal options."""
        return torch.log_softmax(self.head(seen) + self.mask[choices], dim=-1)

    def forward(self, choices: Tensor, before: Tensor) -> Tensor:
        seen, _ = self.cell(self.read(choices, before))
        return self.judge(seen, choices)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Episodes side by side, all [T, B]; ``present`` is 0 after the end of one."""

    choices: Tensor
    before: Tensor
    options: Tensor
    logs: Tensor
    present: Tensor


def _pad(episodes: Sequence[Episode], start: int) -> _Steps:
    shape = (max(len(episode.choices) for episode in episodes), len(episodes))
    choices, options = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    before = torch.full(shape, start)
    logs, present = (torch.zeros(shape, dtype=torch.float64) for _ in range(2))
    for column, episode in enumerate(episodes):
        length = len(episode.choices)
        choices[:length, column] = torch.tensor(episode.choices)
        options[:length, column] = torch.tensor(episode.options)
        before[1:length, column] = options[: length - 1, column]
        logs[:length, column] = torch.tensor(episode.logs, dtype=torch.float64)
        present[:length, column] = 1.0
    return _Steps(choices, before, options, logs, present)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums do not depend on how many threads the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
