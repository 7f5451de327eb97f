"""Threads that run one after the other between waits find the same in any order (in_turn.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

pytest.importorskip("tvm", reason="TVM is not installed")

import rnndsl
from rnndsl.backends.torch.module import Layer
from rnndsl.backends.tvm import lower_kernel
from rnndsl.backends.tvm.making import table_choices
from rnndsl.backends.tvm.schedule import Schedule, StageSteps
from rnndsl.backends.tvm.sharing import Sharing, sharing
from rnndsl.compiler.ir import Graph
from tests.backends import in_turn
from tests.cells.random_cells import random_cell

# Hidden sizes that are whole units and such that are not, of which threads share each step.
SIZES = (64, 96, 128, 130, 160, 200)
BATCHES, LENGTHS = (1, 2, 3, 1), (7, 1, 12, 3)
# Random cells with many waits; the first six once lacked one.
SEEDS = (88, 206, 257, 274, 290, 316, 11, 47)
# Sums over rows in another order, of terms that nearly cancel at worst.
TOLERANCE = 1e-3

pytestmark = pytest.mark.skipif(
    not table_choices(False).shared, reason="kernels are for one thread without OpenMP or a linker"
)


@pytest.fixture(autouse=True)
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    in_turn.install(monkeypatch)
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)  # fills what PyTorch allocates with NaN
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def run(layer: Layer, xs: list[Tensor], threads: int) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and final states, of inference and of training, and all gradients."""
    torch.set_num_threads(threads)
    values = list[Tensor]()
    streams = dict(zip(list(layer.input_types)[1:], xs[1:], strict=True))
    for train in (False, True):
        with torch.set_grad_enabled(train):
            y, last = layer(xs[0], **streams)
        found = [y, *([last] if isinstance(last, Tensor) else last)]
        values += [value.detach() for value in found]
    loss = torch.stack([value.square().sum() for value in found]).sum()
    wanted = [*xs, *(p for p in layer.parameters() if p.requires_grad)]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    return values, [gradient for gradient in gradients if gradient is not None]


def differing(name: str, some: list[Tensor], others: list[Tensor]) -> list[str]:
    pairs = enumerate(zip(some, others, strict=True))
    return [f"{name} {place}" for place, (a, b) in pairs if not torch.equal(a, b)]


def far(name: str, some: list[Tensor], others: list[Tensor]) -> list[str]:
    pairs = enumerate(zip(some, others, strict=True))
    limits = [TOLERANCE * other.abs().max() for other in others]
    return [f"{name} {k}" for k, (a, b) in pairs if not (a - b).abs().max() <= limits[k]]


def disagreements(cell: str | int, steps: int, batch: int, hidden: int) -> list[str]:
    """What a layer computes otherwise with several threads than with one, or in another order."""
    torch.manual_seed(0)
    known = cell if isinstance(cell, str) else rnndsl.parse(random_cell(cell))
    layer = rnndsl.layer(known, 33, hidden, backend="tvm")
    sizes = [kind.sizes for kind in layer.input_types.values()]
    xs = [torch.randn(steps, batch, *size, requires_grad=True) for size in sizes]
    alone = run(layer, xs, threads=1)
    wrong = list[str]()
    for threads in (2, 3):
        in_turn.last_first(False)
        first = run(layer, xs, threads)
        in_turn.last_first(True)
        last = run(layer, xs, threads)
        wrong += differing(f"{threads} threads, the first first: value", first[0], alone[0])
        wrong += differing(f"{threads} threads, the last first: value", last[0], alone[0])
        wrong += differing(f"{threads} threads, by their order: gradient", first[1], last[1])
        wrong += far(f"{threads} threads: gradient", first[1], alone[1])
    return wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_threads_between_waits_changes_no_bit(seed: int) -> None:
    steps, batch = LENGTHS[seed // 4 % 4], BATCHES[seed % 4]
    assert disagreements(seed, steps, batch, SIZES[seed % 6]) == []


@pytest.mark.parametrize("batch", [1, 13])
def test_nor_where_rows_are_shared_or_all_gates(batch: int) -> None:
    assert disagreements("lstm", 5, batch, 160) == []


@pytest.mark.parametrize("place", range(3))
def test_an_order_is_found_in_which_a_missing_wait_is_missed(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the scan of an inference, of a training and of its gradients."""
    scans = list[StageSteps]()

    def without_waits(graph: Graph, schedule: Schedule, stage: StageSteps) -> Sharing | None:
        found = sharing(graph, schedule, stage)
        if found is None or not found.waits:
            return found
        scans.append(stage)
        if len(scans) != place + 1:
            return found
        runs = tuple(replace(run, waits=False) for run in found.runs)
        return replace(found, runs=runs, end=replace(found.end, waits=False))

    monkeypatch.setattr(lower_kernel, "sharing", without_waits)
    assert disagreements("lstm", 5, 1, 160)
    assert len(scans) == 3
