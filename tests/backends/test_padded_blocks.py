"""The rest of a sequence as a block with padding: the same results, where it is cheaper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import rnndsl
from rnndsl.backends.torch import Layer
from rnndsl.backends.torch.program import make_program
from rnndsl.backends.torch.programs import find_runner, register
from rnndsl.compiler.forms.choose import Blocks
from tests.backends.test_forms import assert_same, make, needs_tvm, problem_for
from tests.cells.affine_cells import affine_cell
from tests.cells.differential import values
from tests.test_fuzz import torch_values

LENGTHS = (1, 15, 16, 31, 32, 33, 40, 63, 64, 65)
LIBRARY = ("deltanet", "gated_linear_attention", "linear_attention", "mlstm")


@pytest.fixture
def every_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rest takes a block, whatever it costs."""
    monkeypatch.setattr(Blocks, "take_rest", lambda self, steps, _: steps % self.length > 0)


@pytest.mark.usefixtures("every_rest")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["matrix", "delta", "series"])
def test_padded_blocks_are_the_interpreter(kind: str, length: int) -> None:
    made = make(affine_cell(kind, 1000 + length), "chunked")
    problem = problem_for(made, length, batch=3)
    assert_same(torch_values(made, problem), values(problem))


def library_cell(name: str, form: str, backend: str, **options: Any) -> Layer:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"input_size": 3, "hidden_size": 5, "dtype": torch.float64}
    return rnndsl.layer(name, **sizes, form=form, backend=backend, **options)


def tensors_of(results: Any) -> list[Tensor]:
    if isinstance(results, Tensor):
        return [results]
    parts = results.values() if isinstance(results, dict) else results
    return [tensor for part in parts for tensor in tensors_of(part)]


def everything(layer: Layer, x: Tensor, *state: Any, **call: Any) -> list[Tensor]:
    """Results of a call and gradients of all that it was given."""
    leaf = x.clone().requires_grad_()
    given = [s.clone().requires_grad_() for s in state]
    layer.zero_grad()
    results = layer(leaf, tuple(given) if len(given) > 1 else given[0] if given else None, **call)
    found = tensors_of(results)
    weighted = [t * torch.sin(1 + torch.arange(t.numel()).view(t.shape)) for t in found]
    torch.stack([t.sum() for t in weighted]).sum().backward()  # type: ignore[no-untyped-call]
    grads = [t.grad for t in (leaf, *given, *layer.parameters()) if t.grad is not None]
    return [t.detach() for t in (*found, *grads)]


def assert_like_steps(
    name: str, backend: str, length: int, options: dict[str, Any], **call: Any
) -> None:
    x = torch.randn(length, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made = library_cell(name, "steps", "torch", **options)(x[:1])[1]
    start = made if isinstance(made, tuple) else (made,)
    for given in ((), start):
        steps = everything(library_cell(name, "steps", "torch", **options), x, *given, **call)
        blocks = everything(library_cell(name, "chunked", backend, **options), x, *given, **call)
        for one, other in zip(steps, blocks, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("every_rest")
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}], ids=str)
@pytest.mark.parametrize("name", LIBRARY)
def test_padded_blocks_of_library_cells_are_steps(name: str, options: dict[str, Any]) -> None:
    for length in (1, 35):
        assert_like_steps(name, "torch", length, options)


@pytest.mark.usefixtures("every_rest")
@pytest.mark.parametrize("name", LIBRARY)
def test_padded_blocks_with_restarts_and_lengths_are_steps(name: str) -> None:
    reset = torch.zeros(20, 3)
    reset[7, 0] = reset[0, 1] = 1
    options = {"bidirectional": True}
    assert_like_steps(name, "torch", 20, options, reset=reset)
    assert_like_steps(name, "torch", 20, options, lengths=[20, 17, 3])


@pytest.mark.usefixtures("every_rest")
def test_padded_blocks_have_taps_and_several_layers() -> None:
    assert_like_steps("mlstm", "torch", 19, {"num_layers": 2})
    assert_like_steps("mlstm", "torch", 19, {}, taps=["decay", "y"])


@needs_tvm
@pytest.mark.usefixtures("every_rest")
@pytest.mark.parametrize("name", ["deltanet", "gated_linear_attention", "mlstm"])
def test_padded_blocks_compiled_by_tvm_are_steps(name: str) -> None:
    assert_like_steps(name, "tvm", 21, {"bidirectional": True})


# ------------------------------------------------------------------------------ the choice


def matrices_kept(length: int, batch: int, hidden: int) -> float:
    """Of all that the forward pass leaves, how many states of each example that would be."""
    made = rnndsl.layer("linear_attention", 4, hidden, backend="torch")
    program = make_program(made.first.graph, backend="torch")
    x = torch.zeros(length, batch, 4)
    kept = find_runner(register(program)).kept_shapes([x], [True] * (1 + len(program.params)))
    return float(sum(np.prod(shape) for shape in kept) / (batch * hidden * hidden))


def test_a_rest_takes_a_block_where_steps_would_leave_much() -> None:
    assert matrices_kept(63, 20, 200) < 10
    assert matrices_kept(127, 20, 200) < 20


def test_a_rest_takes_steps_where_it_is_short_or_small() -> None:
    assert matrices_kept(3, 20, 200) >= 3
    assert matrices_kept(63, 1, 16) >= 63 - 48


def test_flags_must_pay_for_all_blocks_of_a_sequence() -> None:
    form = Blocks(32, False, block=8.0, elements=40000, spare=32 << 20)
    per_example = 20 * 4
    chosen = [form.take_rest(steps, per_example) for steps in (10, 16, 32, 63, 32 * 100 + 16)]
    assert chosen == [False, True, False, True, False]
