"""Layers under a memory budget: equal gradients, and no more saved values than allowed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

import rnndsl
from rnndsl.backends.errors_torch import BudgetTooSmall
from rnndsl.backends.torch import LayerInputError, LayerOptionError
from rnndsl.backends.torch.blocks import BlockRun
from rnndsl.backends.torch.program import make_program, parse_program
from rnndsl.bench.memory import held_bytes
from rnndsl.cell import Cell
from rnndsl.compiler import memory
from tests.backends.torch_graphs import lstm
from tests.cells.random_cells import random_cell

torch.set_num_threads(1)

UNLIMITED = "1TiB"
needs_tvm = pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")
WINDOW = rnndsl.parse("""
cell Window(D, H):
    input x: [D]
    state last: [D]
    state before: [D]
    state h: [H]
    state total: [H] = 1
    last' = x
    before' = last
    u = tanh(linear[H](x, last, before))
    h' = lerp(h, u, sigmoid(linear[H](x, h, name = gate)))
    total' = 0.9 * total + u
    return total * u
""")
Maker = Callable[[int | str | None], Any]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks of 16 steps, as of a large layer; small ones have longer blocks."""
    monkeypatch.setattr(memory, "_SMALL", 0)
    memory.plan_memory.cache_clear()
    yield
    memory.plan_memory.cache_clear()


def maker(cell: str | Cell, backend: str = "torch", form: str = "steps", **options: Any) -> Maker:
    """Layers that differ in their budget alone."""

    def make(budget: int | str | None) -> Any:
        torch.manual_seed(0)
        given = {"backend": backend, "form": form, "memory_budget": budget, **options}
        return rnndsl.layer(cell, 3, 4, dtype=torch.float64, **given)

    return make


def gradients(layer: Any, steps: int, **call: Any) -> list[Tensor]:
    """Results of a call and all gradients; every result has a cotangent."""
    torch.manual_seed(1)
    x = torch.randn(steps, 2, 3, dtype=torch.float64, requires_grad=True)
    y, states, *tapped = layer(x, **call)
    states = states if isinstance(states, tuple) else (states,)
    results = [y, *states, *(value for values in tapped for d in values for value in d.values())]
    loss = torch.stack([t.sin().sum() for t in results]).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    found = [x.grad, *(p.grad for p in layer.parameters())]
    found += [s.grad for s in call.get("state") or ()]
    return [*results, *(t for t in found if t is not None)]


def least_budget(make: Maker, steps: int, **call: Any) -> int:
    """The least bytes that do for all layers, found by what the refusals name."""
    budget = 1
    while True:
        try:
            gradients(make(budget), steps, **call)
            return budget
        except LayerInputError as error:
            (problem,) = error.diagnostics
            assert isinstance(problem, BudgetTooSmall)
            assert problem.budget == budget < problem.least
            budget = problem.least


def assert_equal_under_all_budgets(make: Maker, steps: int, **call: Any) -> None:
    expected = gradients(make(UNLIMITED), steps, **call)
    least = least_budget(make, steps, **call)
    for budget in (None, least, least + 200, 2 * least, 3 * least, 5 * least):
        found = gradients(make(budget), steps, **call)
        for one, other in zip(expected, found, strict=True):
            assert torch.equal(one, other), budget


@pytest.mark.parametrize(
    "cell", ["elman", "lstm", "gru", "mlstm", "slstm", "mingru", "sru", WINDOW]
)
def test_gradients_are_equal_under_all_budgets(cell: str | Cell) -> None:
    assert_equal_under_all_budgets(maker(cell), 100)


@pytest.mark.parametrize("seed", range(6))
def test_gradients_of_random_cells_are_equal_under_all_budgets(seed: int) -> None:
    cell = rnndsl.parse(random_cell(seed, continuous=True))
    assert_equal_under_all_budgets(maker(cell), 70)


@pytest.mark.parametrize("cell", ["lstm", WINDOW])
def test_lengths_restarts_taps_layers_and_directions_are_kept(cell: str | Cell) -> None:
    options: dict[str, Any] = (
        {"num_layers": 2, "bidirectional": True} if isinstance(cell, str) else {}
    )
    torch.manual_seed(2)
    call = {
        "lengths": [83, 41],
        "reset": torch.rand(83, 2) < 0.05,
        "taps": ["f"] if isinstance(cell, str) else ["u", "before"],
    }
    assert_equal_under_all_budgets(maker(cell, **options), 83, **call)


def test_given_states_get_equal_gradients() -> None:
    torch.manual_seed(3)
    state = tuple(torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    make, found = maker("lstm"), []
    for budget in (UNLIMITED, least_budget(make, 50, state=state)):
        for tensor in state:
            tensor.grad = None
        found.append(gradients(make(budget), 50, state=state))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@needs_tvm
@pytest.mark.parametrize("cell", ["lstm", "mingru", WINDOW])
def test_gradients_are_equal_on_plans_that_tvm_compiles(cell: str | Cell) -> None:
    make = maker(cell, backend="auto")
    assert_equal_under_all_budgets(make, 60, lengths=[60, 33])


@pytest.mark.parametrize("cell", ["mlstm", "mingru"])
def test_other_forms_of_a_recurrence_agree_up_to_rounding(cell: str) -> None:
    make = maker(cell, form="chunked")
    expected = gradients(make(None), 100)
    torch.testing.assert_close(gradients(make(UNLIMITED), 100), expected)
    torch.testing.assert_close(gradients(make(least_budget(make, 100)), 100), expected)


@pytest.mark.parametrize("backend", ["torch", pytest.param("auto", marks=needs_tvm)])
@pytest.mark.parametrize(
    ("cell", "options"), [("mlstm", {"bidirectional": True}), ("gated_linear_attention", {})]
)
def test_gradients_of_cells_in_blocks_are_equal_under_all_budgets(
    cell: str, backend: str, options: dict[str, Any]
) -> None:
    make = maker(cell, backend=backend, form="chunked", **options)
    assert_equal_under_all_budgets(make, 160)
    # What is left of a sequence is a block with padding where there is a budget.
    expected = gradients(make(UNLIMITED), 165)
    for budget in (least_budget(make, 165), 3 * least_budget(make, 165)):
        for one, other in zip(gradients(make(budget), 165), expected, strict=True):
            assert torch.equal(one, other)
    torch.testing.assert_close(gradients(make(None), 165), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradients(make(200_000), 9), gradients(make(None), 9))


@pytest.mark.parametrize("cell", ["mlstm", "deltanet"])
@pytest.mark.parametrize("steps", [160, 165])
@pytest.mark.parametrize("share", [1, 1.5])
def test_what_cells_in_blocks_hold_is_within_the_budget(
    cell: str, steps: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = maker(cell, form="chunked")
    budget = int(share * least_budget(make, steps))
    layer = make(budget)
    meter = Meter(monkeypatch)
    y = layer(torch.randn(steps, 2, 3, dtype=torch.float64, requires_grad=True))[0]
    assert meter.alive <= budget
    meter.peak = meter.alive
    y.sum().backward()
    plan = layer.memory_plan(steps, 2)
    assert plan.steps == steps
    assert 0.95 * plan.peak <= meter.peak <= plan.peak <= budget


def test_a_budget_that_is_too_small_for_blocks_names_the_steps_of_the_sequence() -> None:
    with pytest.raises(LayerInputError, match="too small for T=165 and B=2"):
        gradients(maker("mlstm", form="chunked")(100), 165)


def test_dropout_between_layers_is_drawn_once() -> None:
    make = maker("lstm", num_layers=2, dropout=0.5)
    least = least_budget(make, 50)
    found = [gradients(make(budget), 50) for budget in (None, least, 2 * least)]
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("backend", ["torch", pytest.param("auto", marks=needs_tvm)])
def test_states_that_are_carried_from_chunk_to_chunk_carry_equal_gradients(backend: str) -> None:
    found = []
    make = maker("lstm", backend=backend)
    for budget in (None, make(None).memory_plan(40, 2).peak - 1):
        layer = make(budget)
        torch.manual_seed(1)
        state, results = None, []
        for _ in range(3):
            y, state = layer(torch.randn(40, 2, 3, dtype=torch.float64), state)
            results.append(y)
        torch.cat(results).sin().sum().backward()  # type: ignore[no-untyped-call]
        found.append([p.grad for p in layer.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_cell_that_saves_nothing_meets_any_budget() -> None:
    cell = rnndsl.parse("""
cell Leaky(D, H):
    input x: [D]
    state m: [D]
    m' = 0.5 * m + x
    return 2 * m'
""")
    make = maker(cell)
    found = [gradients(make(budget), 90) for budget in (1, UNLIMITED)]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_budget_that_is_too_small_names_the_least_that_will_do() -> None:
    make = maker("lstm")
    with pytest.raises(LayerInputError, match=r"too small for T=50 and B=2\n.* at least \d+ bytes"):
        gradients(make(100), 50)
    assert least_budget(make, 50) > 100


@pytest.mark.parametrize("steps", [1, 16, 17])
def test_short_sequences_need_what_their_values_take(steps: int) -> None:
    make = maker("lstm")
    least = least_budget(make, steps)
    gradients(make(least), steps)
    gradients(make(None), steps)


# ------------------------------------------------------------------------------- the bound


@pytest.mark.parametrize("cell", ["lstm", "gru", "mlstm"])
@pytest.mark.parametrize("share", [1, 1.5, 3, 100])
def test_what_autograd_saves_is_within_the_budget(cell: str, share: float) -> None:
    make = maker(cell)
    budget = int(share * least_budget(make, 200))
    layer = make(budget)
    x = torch.randn(200, 2, 3, dtype=torch.float64, requires_grad=True)
    assert held_bytes(layer, x) <= budget


class Meter:
    """Counts the bytes of saved values and states that are alive after every run of a block."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alive = self.peak = self.runs = 0
        original = BlockRun._run_block

        def watched(run: BlockRun, block: int, states: Any) -> Any:
            visible, finals, saved = original(run, block, states)
            for tensor in (*run._unheld(finals), *saved):
                size = tensor.untyped_storage().nbytes()
                self.alive += size
                weakref.finalize(tensor, self.drop, size)
            self.runs += 1
            self.peak = max(self.peak, self.alive)
            return visible, finals, saved

        monkeypatch.setattr(BlockRun, "_run_block", watched)

    def drop(self, size: int) -> None:
        self.alive -= size


@pytest.mark.parametrize("cell", ["lstm", "gru", "mlstm", WINDOW])
@pytest.mark.parametrize("share", [1, 1.2, 2.5, 4])
def test_what_the_backward_pass_holds_is_within_the_budget(
    cell: str | Cell, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = maker(cell)
    budget = int(share * least_budget(make, 200))
    layer = make(budget)
    meter = Meter(monkeypatch)
    y = layer(torch.randn(200, 2, 3, dtype=torch.float64, requires_grad=True))[0]
    assert meter.alive <= budget, "between the two passes, final states aside"
    runs, meter.peak = meter.runs, meter.alive
    y.sum().backward()
    assert meter.peak <= budget
    assert meter.runs > runs
    planned = layer.memory_plan(200, 2).peak
    assert 0.95 * planned <= meter.peak <= planned <= budget


@pytest.mark.parametrize("backend", ["torch", pytest.param("auto", marks=needs_tvm)])
@pytest.mark.parametrize("cell", ["lstm", "mlstm", "deltanet"])
@pytest.mark.parametrize("steps", [64, 35, 63])
def test_a_plan_without_a_budget_says_what_is_held_in_steps_and_in_blocks(
    cell: str, steps: int, backend: str
) -> None:
    layer = rnndsl.layer(cell, 8, 64, backend=backend)
    held = held_bytes(layer, torch.randn(steps, 4, 8, requires_grad=True))
    planned = layer.memory_plan(steps, 4).peak
    assert 0.95 * planned <= held <= planned


@pytest.mark.parametrize("backend", ["torch", pytest.param("auto", marks=needs_tvm)])
@pytest.mark.parametrize(("cell", "share"), [("lstm", 0.2), ("rhn", 0.0), ("mlstm", 0.7)])
def test_a_layer_that_computes_most_again_saves_less(cell: str, share: float, backend: str) -> None:
    found, saved = [], []
    for recompute in ("cheap", "most"):
        make = maker(cell, backend=backend, recompute=recompute)
        found.append(gradients(make(None), 40))
        saved.append(make(None).memory_plan(40, 2).peak)
        assert_equal_under_all_budgets(make, 40)
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
    assert saved[1] <= share * saved[0]


# -------------------------------------------------------------------------- how it is given


@pytest.mark.parametrize("given", ["64 apples", "", 0, -5, 1.5, True])
def test_other_budgets_are_refused(given: Any) -> None:
    with pytest.raises(LayerOptionError, match="memory_budget must be a number of bytes"):
        rnndsl.layer("lstm", 3, 4, memory_budget=given)


def test_a_plan_is_made_for_at_least_one_step_and_one_example() -> None:
    layer = rnndsl.layer("lstm", 3, 4)
    for steps, batch, message in (
        (0, 1, "steps must be a whole"),
        (1, -1, "batch must be a whole"),
    ):
        with pytest.raises(LayerOptionError, match=message):
            layer.memory_plan(steps, batch)


def test_a_budget_reads_back_from_the_text_of_a_program() -> None:
    program = make_program(lstm(), reverse=True, memory_budget=12_345)
    assert parse_program(program.text) == program
    program = make_program(lstm(), form="steps", recompute="most")
    assert parse_program(program.text) == program


def test_a_layer_shows_its_budget() -> None:
    assert "memory_budget=65536" in repr(rnndsl.layer("lstm", 3, 4, memory_budget="64KiB"))


def test_compiled_and_exported_models_keep_their_budget() -> None:
    make = maker("lstm")
    layer = make(least_budget(make, 50))
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for steps in (50, 40):
        expected = gradients(layer, steps)
        layer.zero_grad()
        found = gradients(compiled, steps)
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
        layer.zero_grad()
    x = torch.randn(50, 2, 3, dtype=torch.float64)
    exported = torch.export.export(layer, (x,))
    torch.testing.assert_close(exported.module()(x)[0], layer(x)[0])
    budget = layer.options.memory_budget
    assert f"memory {budget}" in str(exported.graph)


def test_a_module_of_torch_can_be_given_a_budget() -> None:
    theirs = torch.nn.LSTM(3, 4, dtype=torch.float64)
    whole = rnndsl.from_torch(theirs)
    budget = whole.memory_plan(50, 2).peak - 1
    bounded = rnndsl.from_torch(theirs, memory_budget=budget)
    found = [gradients(layer, 50) for layer in (whole, bounded)]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert bounded.options.memory_budget == budget
