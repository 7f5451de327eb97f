"""A kernel does the same on one thread, on several, and when several call it at once."""

from __future__ import annotations

import itertools
import threading
from array import array
from dataclasses import replace

import pytest
import torch
from torch import Tensor

pytest.importorskip("tvm", reason="TVM is not installed")

import rnndsl
from rnndsl.backends.torch import stepping
from rnndsl.backends.torch.module import Layer
from rnndsl.backends.tvm import crowding, worker
from rnndsl.backends.tvm.arranging import arrange
from rnndsl.backends.tvm.sharing import sharing
from rnndsl.backends.tvm.work import is_in_pieces
from rnndsl.cell import load
from rnndsl.compiler.cost import StageWork, Work, worthwhile
from rnndsl.compiler.lower import lower
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.plan import StageKind
from rnndsl.compiler.selection import Selection
from rnndsl.compiler.separate import separate
from rnndsl.compiler.sizes import bind_sizes
from rnndsl.compiler.split import split
from rnndsl.showing.case import Case
from tests.backends import in_turn
from tests.cells.random_cells import random_cell

# A scan and streams, sums of every kind, a matrix state, and a cell with no loop over time left.
CELLS = ["lstm", "layernorm_lstm", "mlstm", "minlstm"]

pytestmark = pytest.mark.usefixtures("all_threads")


def run(layer: torch.nn.Module, x: Tensor) -> list[Tensor]:
    """The output, the final states, and the gradients of the input and the parameters."""
    x = x.detach().requires_grad_()
    y, state = layer(x)
    finals = [state] if isinstance(state, Tensor) else list(state)
    loss = (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum()
    loss = loss + sum(final.sin().sum() for final in finals)
    params = [p for p in layer.parameters() if p.requires_grad]
    return [y.detach(), *(f.detach() for f in finals), *torch.autograd.grad(loss, [x, *params])]


def problem(cell: str, dtype: torch.dtype, batch: int, hidden: int = 19) -> tuple[Layer, Tensor]:
    torch.manual_seed(0)
    layer = rnndsl.layer(cell, 5, hidden, backend="tvm").to(dtype)
    return layer, torch.randn(11, batch, 5, dtype=dtype)


def on(threads: int, layer: torch.nn.Module, x: Tensor) -> list[Tensor]:
    torch.set_num_threads(threads)
    return run(layer, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 13])
@pytest.mark.parametrize("cell", CELLS)
def test_the_number_of_threads_changes_rounding_at_most(
    cell: str, batch: int, dtype: torch.dtype
) -> None:
    layer, x = problem(cell, dtype, batch)
    alone = on(1, layer, x)
    # Sums over T * B = 143 rows in another order, of terms that nearly cancel at worst.
    tolerance = 2 * 143 * torch.finfo(dtype).eps
    for threads in (2, 3):
        together = on(threads, layer, x)
        for found, expected in zip(together, alone, strict=True):
            scale = max(1.0, float(expected.abs().max()))
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)
        # Streams and states are not sums over rows: these are the very same.
        for found, expected in zip(together[:2], alone[:2], strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("batch", [1, 5, 8])
@pytest.mark.parametrize(
    ("cell", "hidden"),
    [
        *itertools.product(["lstm", "gru", "s4d", "aft", "sru"], [203]),
        *itertools.product(["lstm", "gru", "elman", "rhn"], [192]),
        ("deltanet", 128),  # three vectors and a number in one product
    ],
)
def test_threads_share_what_a_step_does_where_examples_are_few(
    cell: str, hidden: int, batch: int
) -> None:
    layer, x = problem(cell, torch.float32, batch, hidden)
    x = x[batch % 2 :]  # states with two places end in either
    alone = on(1, layer, x)
    tolerance = 2 * 11 * batch * torch.finfo(torch.float32).eps
    for threads in (2, 3, 5):
        together = on(threads, layer, x)
        assert torch.equal(together[0], alone[0])
        with torch.no_grad():
            torch.testing.assert_close(layer(x)[0], alone[0], rtol=1e-4, atol=1e-5)
        for found, expected in zip(together, alone, strict=True):
            scale = max(1.0, float(expected.abs().max()))
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("cell", [316, "lstm"])
def test_nothing_is_read_before_it_is_written(
    cell: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where threads did not wait for what they read, they mostly find what an earlier call left."""
    in_turn.poison(monkeypatch)
    # In a step of the random cell parts wait, but not before the first product, of a whole state.
    found = cell if isinstance(cell, str) else rnndsl.parse(random_cell(cell))
    layer, x = rnndsl.layer(found, 33, 160, backend="tvm"), torch.randn(3, 1, 33)
    for train in (False, True):
        with torch.set_grad_enabled(train):
            torch.set_num_threads(1)
            alone = layer(x)[0]
            for threads in 60 * (2, 3):
                torch.set_num_threads(threads)
                assert torch.equal(layer(x)[0], alone)


@pytest.mark.parametrize("cell", CELLS)
def test_equal_runs_have_equal_results(cell: str) -> None:
    layer, x = problem(cell, torch.float64, 13)
    first = on(2, layer, x)
    for _ in range(5):
        for found, expected in zip(on(2, layer, x), first, strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("cell", ["lstm", "layernorm_lstm"])
def test_blocks_of_time_sum_alike_in_one_call_and_in_several(cell: str) -> None:
    torch.set_num_threads(2)
    found, budget = [], None
    for kind in ("none", "blocks"):
        torch.manual_seed(0)
        layer = rnndsl.layer(cell, 5, 19, backend="tvm", memory_budget=budget)
        plan = layer.memory_plan(150, 13)
        assert plan.blocks > 1 and plan.kind == kind
        budget = int(0.6 * plan.peak)
        found.append(run(layer, torch.randn(150, 13, 5)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_gradients_are_parts_of_what_a_kernel_sums_up_and_no_two_overlap() -> None:
    layer, x = problem("lstm", torch.float32, 2)
    gradients = run(layer, x)[3:]
    places = sorted((g.data_ptr(), g.data_ptr() + 4 * g.numel()) for g in gradients)
    assert all(g.is_contiguous() for g in gradients)
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(places))


@pytest.mark.parametrize("callers", [2, 4])
def test_threads_may_call_one_layer_at_once(callers: int) -> None:
    layer, x = problem("lstm", torch.float64, 13)
    inputs = [x * (k + 1) for k in range(callers)]
    expected = [on(2, layer, each) for each in inputs]
    wrong: list[str] = []

    def call(place: int) -> None:
        for _ in range(10):
            for found, known in zip(run(layer, inputs[place]), expected[place], strict=True):
                if not torch.equal(found, known):
                    wrong.append(f"caller {place}")

    threads = [threading.Thread(target=call, args=(k,)) for k in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_calls_take_the_threads_that_they_are_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "worthwhile", worthwhile)
    stages = (StageWork(False, (Work(products=10**6),)),)
    found = worker.Worker(lambda table: None, lambda *arguments: None, stages)
    assert [found.parts(4, *shape)[0] for shape in ((1, 1), (100, 1), (1, 100))] == [1, 4, 4]
    assert found.parts(1, 100, 1)[0] == 1
    assert worker.Worker(lambda table: None, None, stages).parts(4, 100, 1)[0] == 1


@pytest.mark.parametrize(
    ("cell", "hidden", "expected"),
    [
        ("s4d", 64, True),
        ("s4d", 63, False),  # too few for two threads
        ("sru", 96, False),  # its state is a vector
        ("linear_attention", 96, False),  # each element of a product needs all of the state
    ],
)
def test_scans_of_elementwise_states_are_shared_in_pieces(
    cell: str, hidden: int, expected: bool
) -> None:
    found = load(cell)
    graph = bind_sizes(lower(found).graph, {"D": 8, "H": hidden}, found.sources())
    step = separate(run_pipeline(graph, PIPELINES["default"])).step
    arranged = arrange(split(step))
    scans = [s for s in arranged.schedule.stages if s.kind is StageKind.SCAN]
    assert scans
    for stage in scans:
        assert is_in_pieces(arranged.plan.graph, arranged.schedule, stage) is expected


def test_a_scan_in_pieces_is_shared_where_it_is_long() -> None:
    stages = (StageWork(True, (Work(elements=10_000),), (True,)),)
    assert [worthwhile(stages, steps, 1, 2) for steps in (1, 1000)] == [1, 2]


def test_a_scan_of_few_examples_is_shared_if_its_weights_are_large() -> None:
    def scan(weights: int) -> tuple[StageWork, ...]:
        loops = Work(products=weights // 2, shared=weights), Work(elements=1000)
        return (StageWork(True, loops, (True, False), 2),)

    assert [worthwhile(scan(size), 100, 1, 2) for size in (2**12, 2**20)] == [1, 2]
    # Threads that cannot share a step do nothing.
    alone = tuple(replace(stage, split=(), waits=0) for stage in scan(2**20))
    assert [worthwhile(alone, 100, batch, 2) for batch in (1, 32)] == [1, 2]


@pytest.mark.parametrize("cell", ["lstm", "gru", "layernorm_lstm"])
@pytest.mark.parametrize("batch", [1, 3])
def test_threads_share_the_products_of_a_single_step(
    cell: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepping, "worthwhile", lambda stages, steps, batch, most: most)
    stepping._worthwhile.cache_clear()
    layer, x = problem(cell, torch.float32, batch, hidden=203)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        stream = layer.stream(batch)
        outputs = torch.stack([stream(step) for step in x])
        state = stream.state
        found.append([outputs, *([state] if isinstance(state, Tensor) else state)])
    stepping._worthwhile.cache_clear()
    for other in found[1:]:
        for one, expected in zip(other, found[0], strict=True):
            assert torch.equal(one, expected)


def test_threads_of_a_stream_count_from_zero_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or those that OpenMP left out of a step would never be waited for, or wait for ever."""
    monkeypatch.setattr(stepping, "worthwhile", lambda stages, steps, batch, most: most)
    stepping._worthwhile.cache_clear()
    layer, x = problem("lstm", torch.float32, 1, hidden=203)
    begun, ordinary = [], worker.Worker.run

    def run(found: worker.Worker, table: array[int], parts: int, seconds: float) -> None:
        begun.append(sum(table[-3 * worker.COUNTS :]))
        ordinary(found, table, parts, seconds)

    monkeypatch.setattr(worker.Worker, "run", run)
    torch.set_num_threads(2)
    stream = layer.stream(1)
    for step in x:
        stream(step)
    stepping._worthwhile.cache_clear()
    assert begun == [0] * len(x)


def test_a_crowded_machine_leaves_calls_to_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    for module in (crowding, worker):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    slow = [0.0]

    def start(function: object, table: object, parts: int, flags: int) -> None:
        now[0] += slow[0]

    found = worker.Worker(lambda table: None, start, (StageWork(False, ()),), adapts=True)
    steady = worker.Worker(lambda table: None, start, (StageWork(False, ()),))
    for each in (found, steady):
        each([1, 2], *each.parts(2, 1, 1))
        assert each.parts(2, 1, 1)[0] == 2
    slow[0] = 0.02
    for each in (found, steady):
        each([1, 2], *each.parts(2, 1, 1))
    assert (found.parts(2, 1, 1)[0], steady.parts(2, 1, 1)[0]) == (1, 2)
    now[0] += 1.0
    assert found.parts(2, 1, 1)[0] == 2


@pytest.mark.parametrize(
    ("cell", "wanted"), [("lstm", [True, True]), ("layernorm_lstm", [True, False])]
)
def test_loops_between_products_are_shared_if_nobody_must_wait(
    cell: str, wanted: list[bool]
) -> None:
    """A norm needs all of a vector; then one thread does what lies between two products."""
    program = separate(bind_sizes(lower(load(cell), {}).graph, {"D": 200, "H": 200}))
    plan = split(run_pipeline(program.step, PIPELINES["final"]))
    arranged = arrange(plan)
    scan = next(s for s in arranged.schedule.stages if s.kind is StageKind.SCAN)
    found = sharing(arranged.plan.graph, arranged.schedule, scan)
    assert found is not None
    assert [run.is_shared for run in found.runs[-2:]] == wanted


@pytest.mark.parametrize(
    ("cell", "hidden", "forward", "backward"),
    [
        ("lstm", 128, 1, 1),
        ("lstm", 200, 2, 1),  # gates of 200 elements are not made of whole units
        ("gru", 128, 1, 1),
        ("elman", 200, 1, 1),
        ("rhn", 128, 5, 5),  # once for each of its layers
        ("layernorm_lstm", 128, 2, 2),  # its norms need all of a gate
    ],
)
def test_threads_wait_once_for_each_product_that_needs_all_of_a_vector(
    cell: str, hidden: int, forward: int, backward: int
) -> None:
    case = Case(load(cell), {"D": hidden, "H": hidden}, Selection()).bound
    waits = []
    for plan in (case.forward_plan(True), case.backward_plan()):
        arranged = arrange(plan)
        scan = next(s for s in arranged.schedule.stages if s.kind is StageKind.SCAN)
        shares = sharing(arranged.plan.graph, arranged.schedule, scan)
        waits.append(shares.waits if shares else 0)
    assert waits == [forward, backward]
