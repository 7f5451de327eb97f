"""A loss taken block by block: equal gradients under all budgets, and little that is held."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rnndsl
from rnndsl.backends.errors_torch import BudgetTooSmall
from rnndsl.backends.torch import LayerInputError, LayerOptionError
from rnndsl.training import blockwise_loss
from rnndsl.training.block_runs import block_length
from rnndsl.training.config import TrainConfig
from rnndsl.training.losses import chunk_loss
from rnndsl.training.model import build_model
from rnndsl.training.states import State, state_tensors
from rnndsl.training.time_blocks import blockwise

VOCABULARY, WIDTH, HIDDEN, STEPS, BATCH = 7, 3, 5, 150, 2
Loss = Callable[[int | str | None], tuple[Tensor, State]]
needs_tvm = pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")
LAYERS = [
    pytest.param(lambda: nn.LSTM(WIDTH, HIDDEN, 2), id="nn"),
    pytest.param(lambda: rnndsl.layer("gru", WIDTH, HIDDEN, backend="torch"), id="torch"),
    pytest.param(lambda: rnndsl.layer("lstm", WIDTH, HIDDEN), id="auto", marks=needs_tvm),
]


class Problem:
    """A small model on random tokens, in float64."""

    def __init__(self, make: Callable[[], nn.Module], steps: int = STEPS) -> None:
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCABULARY, WIDTH).double()
        self.layer = make().double()
        self.head = nn.Linear(HIDDEN, VOCABULARY).double()
        self.tokens, self.targets = torch.randint(VOCABULARY, (2, steps, BATCH))
        with torch.no_grad():
            _, state = self.layer(torch.zeros(1, BATCH, WIDTH, dtype=torch.float64))
        self.state = self._random(state)

    def _random(self, state: State) -> State:
        if isinstance(state, Tensor):
            return torch.randn_like(state).requires_grad_()
        assert state is not None
        return tuple(map(self._random, state))

    def plain(self) -> tuple[Tensor, State]:
        y, state = self.layer(self.embedding(self.tokens), self.state)
        return F.cross_entropy(self.head(y).flatten(0, 1), self.targets.flatten()), state

    def in_blocks(self, budget: int | str | None, state: State = None) -> tuple[Tensor, State]:
        given = self.embedding, self.layer, self.head, self.tokens, self.targets
        return blockwise_loss(*given, state or self.state, memory_budget=budget)

    def results(self, found: tuple[Tensor, State]) -> list[Tensor]:
        """The loss, the last state, and gradients of all that has one."""
        loss, state = found
        after = list(state_tensors(state))
        modules = self.embedding, self.layer, self.head
        leaves = [p for m in modules for p in m.parameters()] + list(state_tensors(self.state))
        total = loss + torch.stack([t.sin().sum() for t in after]).sum()
        return [loss, *after, *torch.autograd.grad(total, leaves)]


def least_budget(call: Loss) -> int:
    with pytest.raises(LayerInputError) as caught:
        call(1)
    (problem,) = caught.value.diagnostics
    assert isinstance(problem, BudgetTooSmall)
    return problem.least


@pytest.mark.parametrize("make", LAYERS)
def test_gradients_are_those_of_the_whole_sequence(make: Callable[[], nn.Module]) -> None:
    problem = Problem(make)
    found = problem.results(problem.in_blocks(None))
    # Each is a sum over T and B, added up in another order.
    bound = 8 * STEPS * BATCH * torch.finfo(torch.float64).eps
    for one, other in zip(found, problem.results(problem.plain()), strict=True):
        assert (one - other).abs().max() <= bound * other.abs().max()


@pytest.mark.parametrize("make", LAYERS)
def test_gradients_are_equal_under_all_budgets(make: Callable[[], nn.Module]) -> None:
    problem = Problem(make)
    expected = problem.results(problem.in_blocks(None))
    least = least_budget(problem.in_blocks)
    for budget in (least, least + 300, 2 * least, 3 * least, "1GiB"):
        found = problem.results(problem.in_blocks(budget))
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True)), budget


def test_states_are_carried_from_call_to_call() -> None:
    problem = Problem(lambda: nn.LSTM(WIDTH, HIDDEN))
    least = least_budget(problem.in_blocks)
    found = []
    for budget in (None, least):
        first, middle = problem.in_blocks(budget)
        second, last = problem.in_blocks(budget, middle)
        found.append(problem.results((first + second, last)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_dropout_is_drawn_once_and_leaves_the_generator_where_it_was() -> None:
    problem = Problem(lambda: nn.LSTM(WIDTH, HIDDEN, 2, dropout=0.5))
    found, after = [], []
    for budget in (None, least_budget(problem.in_blocks)):
        torch.manual_seed(1)
        loss = problem.in_blocks(budget)
        after.append(torch.get_rng_state())
        found.append(problem.results(loss))
        after.append(torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert all(torch.equal(after[0], state) for state in after)


def test_logits_of_one_block_are_alive_at_a_time() -> None:
    problem = Problem(lambda: nn.LSTM(WIDTH, HIDDEN))
    head, most = problem.head, []
    alive: list[weakref.ref[Tensor]] = []

    def watched(y: Tensor) -> Tensor:
        logits: Tensor = head(y)
        assert logits.shape[0] <= block_length(STEPS)
        most.append(sum(logits() is not None for logits in alive))
        alive.append(weakref.ref(logits))
        return logits

    def loss(budget: int | None) -> Tensor:
        given = problem.embedding, problem.layer, watched, problem.tokens, problem.targets
        return blockwise_loss(*given, memory_budget=budget)[0]

    least = least_budget(lambda budget: (loss(budget), None))  # type: ignore[arg-type]
    alive.clear()
    most.clear()
    loss(least).backward()  # type: ignore[no-untyped-call]
    blocks = -(-STEPS // block_length(STEPS))
    assert len(alive) >= 2 * blocks - 1  # all of them ran again
    assert max(most) <= 1


def test_without_gradients_loss_and_state_are_the_same() -> None:
    problem = Problem(lambda: nn.LSTM(WIDTH, HIDDEN))
    loss, state = problem.in_blocks("1GB")
    with torch.no_grad():
        again, after = problem.in_blocks("1GB")
    assert torch.equal(loss, again) and not again.requires_grad
    for one, other in zip(state_tensors(state), state_tensors(after), strict=True):
        assert torch.equal(one, other)


def test_ignored_targets_do_not_count() -> None:
    problem = Problem(lambda: nn.LSTM(WIDTH, HIDDEN))
    problem.targets[30:, 1] = -100
    torch.testing.assert_close(problem.in_blocks(None)[0], problem.plain()[0])


def test_it_goes_backward_once_and_notices_changed_parameters() -> None:
    problem = Problem(lambda: nn.LSTM(WIDTH, HIDDEN))
    loss, _ = problem.in_blocks(None)
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()  # type: ignore[no-untyped-call]
    loss, _ = problem.in_blocks(None)
    with torch.no_grad():
        problem.head.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()  # type: ignore[no-untyped-call]


def test_autocast_is_that_of_the_call() -> None:
    # Not nn.LSTM: PyTorch has no bfloat16 one for processors without AVX512.
    problem = Problem(lambda: rnndsl.layer("lstm", WIDTH, HIDDEN, backend="torch"))
    for module in (problem.embedding, problem.layer, problem.head):
        module.float()
    seen = []

    def head(y: Tensor) -> Tensor:
        logits: Tensor = problem.head(y)
        seen.append(logits.dtype)
        return logits.float()

    given = problem.embedding, problem.layer, head, problem.tokens, problem.targets
    state = tuple(s.detach().float() for s in state_tensors(problem.state))
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = blockwise_loss(*given, state, memory_budget="20kB")
    blocks = len(seen)
    loss.backward()  # type: ignore[no-untyped-call]
    assert set(seen) == {torch.bfloat16} and len(seen) > 10
    assert len(seen) > blocks, "no block was run again"


def test_mistakes_are_named() -> None:
    problem = Problem(lambda: nn.LSTM(WIDTH, HIDDEN, bidirectional=True))
    with pytest.raises(LayerInputError, match="one direction"):
        problem.in_blocks(None)
    problem.layer = rnndsl.layer("lstm", WIDTH, HIDDEN, backend="torch", batch_first=True)
    with pytest.raises(LayerInputError, match="one direction"):
        problem.in_blocks(None)
    problem.layer = nn.LSTM(WIDTH, HIDDEN).double()
    with pytest.raises(LayerOptionError, match="a number of bytes"):
        problem.in_blocks("much")

    def part(state: State, x: Tensor) -> tuple[Tensor, State]:
        return x.sum(), state

    with pytest.raises(LayerInputError, match="no gradient"):
        blockwise(part, [torch.ones(3, 1, requires_grad=True)], None, [])
    with pytest.raises(LayerInputError, match="one step"):
        blockwise(part, [torch.ones(0, 1)], None, [])


@pytest.mark.parametrize("kind", ["locked", "plain"])
def test_a_language_model_is_trained_on_equal_gradients(tiny: TrainConfig, kind: str) -> None:
    options: dict[str, Any] = {"dtype": "float64", "dropout_kind": kind}
    config = replace(tiny, activation_penalty=2.0, temporal_penalty=1.0, **options)
    tokens, targets = torch.randint(VOCABULARY, (2, 40, 3), generator=torch.Generator())
    found = []
    for budget in (None, "70kB", "1GB"):
        model = build_model(config, VOCABULARY, lambda i, h: nn.LSTM(i, h), torch.Generator())
        loss, total, state = chunk_loss(
            model, tokens, targets, None, replace(config, memory_budget=budget)
        )
        total.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found.append([loss.detach(), total.detach(), *state_tensors(state), *gradients])
    assert all(torch.equal(a, b) for a, b in zip(found[1], found[2], strict=True))
    if kind == "locked":  # masks of single steps are drawn in another order
        torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-14)


def test_blocks_follow_from_the_length_alone() -> None:
    lengths = [block_length(steps) for steps in (1, 200, 257, 2000, 5000, 65_536, 100_000)]
    assert lengths == [16, 16, 32, 48, 64, 64, 112]
    assert all(-(-steps // block_length(steps)) <= 1024 for steps in range(1, 200_000, 997))
