"""500 random cells: text, graphs, passes and both backends agree with the interpreter.

The front half (format and parse, print and parse, every pipeline) is held by
tests/cells/test_random_cells.py on the same cells.  TVM takes half a second for a cell: it compiles
some of them, and all of them with ``--every-cell``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import DTypeLike

import rnndsl
from rnndsl.backends.torch import Layer
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.pipeline import PASSES, PIPELINES, Pipeline, run_pipeline
from rnndsl.compiler.separate import separate
from tests.cells.differential import Problem, make_problem, tolerances, values
from tests.cells.random_cells import random_cell

CELLS = 500
CHUNK = 25
CHUNKS = [range(start, start + CHUNK) for start in range(0, CELLS, CHUNK)]
SHAPES = ((4, 2), (1, 3), (3, 1))  # T, B
# Which cells TVM compiles unless it is to compile all: the first, and how many further the next.
LAYERS, FLOAT64, FLOAT32 = (1, 7), (4, 8), (2, 25)
# More than one chaotic draw in so many would mean that the cells test little.
CHAOTIC_OF = 10

has_tvm = importlib.util.find_spec("tvm") is not None


def chunks(name: str) -> pytest.MarkDecorator:
    ids = [f"{seeds.start}-{seeds.stop - 1}" for seeds in CHUNKS]
    return pytest.mark.parametrize(name, CHUNKS, ids=ids)


def compiled(seeds: range, some: tuple[int, int], every_cell: bool) -> range:
    """The cells among ``seeds`` that TVM compiles."""
    return seeds if every_cell else seeds[some[0] :: some[1]]


def layer_and_problem(seed: int, backend: str = "torch") -> tuple[Layer, Problem]:
    """The layer of a random cell in float64, and a problem on the layer's parameters."""
    torch.manual_seed(seed)
    hidden = 3 + seed % 3
    cell = rnndsl.parse(random_cell(seed))
    made = rnndsl.layer(cell, 3, hidden, dtype=torch.float64, backend=backend)
    direction = made.first
    params = {s.name: direction.tensor(s.name).detach().numpy() for s in direction.specs}
    length, batch = SHAPES[seed % len(SHAPES)]
    return made, make_problem(direction.graph, params, length, batch, seed)


def assert_close(
    found: Mapping[str, Array], exact: Mapping[str, Array], allowed: Mapping[str, Array]
) -> None:
    for name, array in found.items():
        off = float(np.abs(np.asarray(array, np.float64) - exact[name]).max(initial=0))
        assert off <= allowed[name], f"{name} is off by {off:.2e}, allowed {allowed[name]:.2e}"


def torch_values(made: Layer, problem: Problem) -> dict[str, Array]:
    """Outputs, final states and gradients of the layer, under the names of ``values``."""
    inputs = {n: torch.tensor(a, requires_grad=True) for n, a in problem.inputs.items()}
    states = {n: torch.tensor(a[None], requires_grad=True) for n, a in problem.states.items()}
    x, *rest = inputs.values()
    extra = dict(zip(list(inputs)[1:], rest, strict=True))
    start = tuple(states.values())
    y, after = made(x, start[0] if len(start) == 1 else start, **extra)
    finals = (after,) if isinstance(after, torch.Tensor) else after
    loss = (y * torch.tensor(problem.d_outputs["y"])).sum()
    for final, weight in zip(finals, problem.d_states.values(), strict=True):
        loss = loss + (final[0] * torch.tensor(weight)).sum()
    loss.backward()
    found = {"y": y.detach().numpy()}
    found |= {f"next {n}": f[0].detach().numpy() for n, f in zip(states, finals, strict=True)}
    for name, leaf in {**inputs, **states}.items():
        if leaf.grad is not None:
            grad = leaf.grad if name in inputs else leaf.grad[0]
            found[f"d.{name}"] = grad.numpy()
    for name, parameter in made.first.named_parameters():
        if parameter.grad is not None:
            found[f"d.{name}"] = parameter.grad.numpy()
    return found


def expected(
    problem: Problem, dtype: DTypeLike
) -> tuple[dict[str, Array], dict[str, Array] | None]:
    """What is right, and how far from it ``dtype`` may be (see ``tolerances``)."""
    with np.errstate(all="ignore"):
        exact = values(problem)
        return exact, tolerances(problem, exact, dtype)


def compare(seed: int, backend: str) -> bool:
    """Check one cell; False when it is chaotic."""
    made, problem = layer_and_problem(seed, "tvm" if backend == "tvm layer" else "torch")
    dtype = np.float32 if backend == "tvm float32" else np.float64
    exact, allowed = expected(problem, dtype)
    if allowed is None:
        return False
    exact = {name: np.asarray(array) for name, array in exact.items()}
    if backend in ("torch", "tvm layer"):
        found = torch_values(made, problem)
        # A gradient that autograd leaves out is zero by definition.
        known = {n: a for n, a in found.items() if n in exact}
        assert all(not a.any() for n, a in found.items() if n not in exact)
        assert_close(known, exact, allowed)
    else:
        assert_close(tvm_values(problem, dtype.__name__), exact, allowed)
    return True


def assert_agree(seeds: range, backend: str) -> None:
    chaotic = sum(not compare(seed, backend) for seed in seeds)
    assert chaotic <= len(seeds) // CHAOTIC_OF


def tvm_values(problem: Problem, dtype: str) -> dict[str, Array]:
    from rnndsl.backends.tvm.runtime import run

    program = separate(run_pipeline(problem.graph, PIPELINES["default"]))
    outputs, states = run(program, problem.inputs, problem.states, problem.params, dtype)
    return {"y": outputs["y"], **{f"next {name}": value for name, value in states.items()}}


@chunks("seeds")
def test_torch_agrees_in_values_and_gradients(seeds: range) -> None:
    assert_agree(seeds, "torch")


@pytest.mark.skipif(not has_tvm, reason="TVM is not installed")
@chunks("seeds")
def test_layers_on_tvm_agree_in_values_and_gradients(seeds: range, every_cell: bool) -> None:
    assert_agree(compiled(seeds, LAYERS, every_cell), "tvm layer")


@pytest.mark.skipif(not has_tvm, reason="TVM is not installed")
@chunks("seeds")
def test_tvm_agrees_in_float64(seeds: range, every_cell: bool) -> None:
    assert_agree(compiled(seeds, FLOAT64, every_cell), "tvm float64")


@pytest.mark.skipif(not has_tvm, reason="TVM is not installed")
@chunks("seeds")
def test_tvm_agrees_in_float32(seeds: range, every_cell: bool) -> None:
    assert_agree(compiled(seeds, FLOAT32, every_cell), "tvm float32")


@pytest.mark.parametrize("name", PASSES)
def test_each_pass_alone_keeps_values_and_gradients(name: str) -> None:
    """By itself, before differentiation, on one cell in ten."""
    if name == "drop-stop-grad":
        pytest.skip("runs after differentiation: it is there to lose the stops")
    for seed in range(0, CELLS, 10):
        problem, exact, allowed = known(seed)
        with np.errstate(all="ignore"):
            changed = run_pipeline(problem.graph, Pipeline((PASSES[name],)))
            found = values(Problem(changed, *_numbers(problem)))
        if allowed is not None:
            assert_close({n: a for n, a in found.items() if n in exact}, exact, allowed)


@cache
def known(seed: int) -> tuple[Problem, dict[str, Array], dict[str, Array] | None]:
    """A problem with what is expected of it in float64."""
    _, problem = layer_and_problem(seed)
    return problem, *expected(problem, np.float64)


def _numbers(problem: Problem) -> tuple[dict[str, Array], ...]:
    return (
        problem.inputs,
        problem.states,
        problem.params,
        problem.d_outputs,
        problem.d_states,
    )
