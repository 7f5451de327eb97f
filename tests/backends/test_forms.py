"""Every form of a linear recurrence computes what the interpreter does, with its gradients."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rnndsl
from rnndsl.backends.torch import Layer
from rnndsl.backends.torch.chunked import ChunkedRunner
from rnndsl.backends.torch.program import make_program
from rnndsl.backends.torch.programs import find_runner, register
from rnndsl.compiler.op_meaning import Array
from tests.cells.affine_cells import KINDS, affine_cell
from tests.cells.differential import Problem, make_problem, values
from tests.test_fuzz import torch_values

LENGTHS = (1, 2, 7, 31, 32, 33, 64, 65, 257)
SIZES: dict[str, Any] = {"input_size": 3, "hidden_size": 4}
INVARIANT = ("diagonal", "memory")
needs_tvm = pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="no tvm")


def make(text: str, form: str, backend: str = "torch", **numbers: Any) -> Layer:
    torch.manual_seed(0)
    cell = rnndsl.parse(text) if "\n" in text else rnndsl.load(text)
    return rnndsl.layer(cell, **SIZES, dtype=torch.float64, form=form, backend=backend, **numbers)


def problem_for(made: Layer, length: int, seed: int = 0, batch: int = 2) -> Problem:
    direction = made.first
    params = {s.name: direction.tensor(s.name).detach().numpy() for s in direction.specs}
    found = make_problem(direction.graph, params, length, batch, seed)
    # A running maximum that starts where the same inputs left it is a tie at its first step.
    rng = np.random.default_rng(seed)
    moved = {n: a + 0.1 * rng.random(a.shape) for n, a in found.states.items()}
    return replace(found, states=moved)


def assert_same(found: Mapping[str, Array], exact: Mapping[str, Array]) -> None:
    for name, array in found.items():
        wanted = exact.get(name, np.zeros(()))
        off = np.abs(array - wanted).max(initial=0)
        size = 1 + np.abs(wanted).max(initial=0)
        assert off <= 1e-9 * size, f"{name} is off by {off:.1e}"


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_are_the_interpreter(kind: str, length: int) -> None:
    for seed in range(2 if length < 10 else 1):
        made = make(affine_cell(kind, 100 * length + seed), "chunked")
        problem = problem_for(made, length, seed)
        assert_same(torch_values(made, problem), values(problem))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", INVARIANT)
def test_convolutions_are_the_interpreter(kind: str, length: int) -> None:
    made = make(affine_cell(kind, length), "convolution")
    problem = problem_for(made, length)
    assert_same(torch_values(made, problem), values(problem))


@pytest.mark.parametrize("length", [1, 65])
@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("aft", {}),
        ("deltanet", {"heads": 2}),
        ("gated_linear_attention", {"heads": 2}),
        ("linear_attention", {"heads": 2}),
        ("mingru", {}),
        ("minlstm", {}),
        ("mlstm", {"heads": 2}),
        ("s4d", {}),
        ("sru", {}),
    ],
)
def test_library_cells_in_the_cheapest_form(
    name: str, numbers: dict[str, Any], length: int
) -> None:
    made = make(name, "auto", **numbers)
    problem = problem_for(made, length)
    assert_same(torch_values(made, problem), values(problem))


@pytest.mark.parametrize("kind", KINDS)
def test_restarts_and_lengths_in_chunks(kind: str) -> None:
    """Restarts make factors 0; ended sequences make them 1; both ways through time."""
    text = affine_cell(kind, 7)
    layers = [make_both(text, form) for form in ("steps", "chunked")]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(70, 3, 3, dtype=torch.float64)
    reset = torch.rand(70, 3) < 0.1
    found = []
    for layer in layers:
        leaf = x.clone().requires_grad_()
        y, states = layer(leaf, lengths=[70, 33, 1], reset=reset)
        every = (y, *(states if isinstance(states, tuple) else (states,)))
        finite = [torch.where(torch.isfinite(t), t, 0.0) for t in every]
        weighted = [t * torch.sin(torch.arange(t.numel()).view(t.shape)) for t in finite]
        torch.stack([t.sum() for t in weighted]).sum().backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        grads = [p.grad for p in layer.parameters() if p.grad is not None]
        found.append([t.detach() for t in (*finite, leaf.grad, *grads)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def make_both(text: str, form: str) -> Layer:
    torch.manual_seed(0)
    return rnndsl.layer(
        rnndsl.parse(text),
        **SIZES,
        dtype=torch.float64,
        form=form,
        backend="torch",
        bidirectional=True,
    )


def test_a_long_sequence_in_float64() -> None:
    """T = 16,384 against steps of the same layer, which are the interpreter at shorter ones."""
    for kind in ("gated", "peak", "matrix", "diagonal"):
        text = affine_cell(kind, 3)
        steps, chunks = (make(text, form) for form in ("steps", "chunked"))
        x = torch.randn(16384, 1, 3, dtype=torch.float64)
        with torch.no_grad():
            torch.testing.assert_close(steps(x)[0], chunks(x)[0], rtol=1e-9, atol=1e-9)


@needs_tvm
@pytest.mark.parametrize("kind", ["matrix", "peak"])
def test_chunks_compiled_by_tvm(kind: str) -> None:
    made = make(affine_cell(kind, 2), "chunked", "tvm")
    problem = problem_for(made, 37)
    assert_same(torch_values(made, problem), values(problem))


# -------------------------------------------------------------------------- what forms do


def test_chunks_do_not_keep_a_matrix_for_each_step() -> None:
    made = rnndsl.layer("linear_attention", 8, 64, form="chunked", backend="torch")
    program = make_program(made.first.graph, backend="torch", form="chunked")
    runner = find_runner(register(program))
    assert isinstance(runner, ChunkedRunner)
    x = torch.zeros(1024, 1, 8)
    kept = runner.kept_shapes([x], [True, *[True] * len(program.params)])
    numbers = sum(int(np.prod(shape)) for shape in kept)
    assert numbers < 1024 * 64 * 64 / 4  # a state for each step would be four times that


def test_a_matrix_state_that_is_used_whole_takes_steps() -> None:
    text = (
        "cell C(D, H):\n    input x: [D]\n    state S: [H, H]\n    k = linear[H](x)\n"
        "    S' = 0.9 * S + outer(k, k)\n    return tanh(S') @ k\n"
    )
    made = make(text, "auto")
    problem = problem_for(made, 20)
    assert_same(torch_values(made, problem), values(problem))


@pytest.mark.parametrize(
    ("cell", "form", "reason"),
    [
        ("lstm", "chunked", "`i` = sigmoid is not linear in `h`"),
        ("sru", "chunked", "`f` = sigmoid is not linear in `c`"),
        ("mingru", "convolution", "changes from step to step"),
    ],
)
def test_an_impossible_form_is_an_error_that_says_why_and_where(
    cell: str, form: str, reason: str
) -> None:
    with pytest.raises(rnndsl.RnndslError) as caught:
        rnndsl.layer(cell, 3, 4, form=form)
    shown = caught.value.render(False)
    assert "E0430" in shown and reason in shown and f"stdlib/{cell}.rnn:" in shown
    assert isinstance(caught.value, ValueError)


def test_an_unknown_form_is_an_error() -> None:
    with pytest.raises(rnndsl.RnndslError, match="form must be one of"):
        rnndsl.layer("mingru", 3, 4, form="fast")


def test_a_program_keeps_its_form_as_text() -> None:
    made = rnndsl.layer("mingru", 3, 4, form="chunked")
    program = make_program(made.first.graph, form="chunked", memory_budget=10000)
    from rnndsl.backends.torch.program import parse_program

    assert parse_program(program.text) == program


def test_a_form_with_a_memory_budget() -> None:
    text = affine_cell("gated", 1)
    torch.manual_seed(0)
    made = rnndsl.layer(
        rnndsl.parse(text),
        **SIZES,
        dtype=torch.float64,
        form="chunked",
        backend="torch",
        memory_budget="64kB",
    )
    problem = problem_for(made, 257)
    assert_same(torch_values(made, problem), values(problem))


def test_the_page_runs() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "recurrences.md"
    code = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    exec("\n".join(code), {})  # noqa: S102  # our own page
