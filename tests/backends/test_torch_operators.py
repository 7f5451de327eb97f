"""The custom operators: gradients, shapes without values, programs as text."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from rnndsl.backends.torch import SecondDerivativeError, TransformError
from rnndsl.backends.torch.operators import run
from rnndsl.backends.torch.program import (
    ProgramTextError,
    SequenceProgram,
    make_program,
    parse_program,
)
from rnndsl.backends.torch.programs import find_runner, register
from tests.backends.torch_graphs import GRAPHS, lstm

torch.set_num_threads(1)


def tensors(program: SequenceProgram, steps: int, batch: int) -> list[list[Tensor]]:
    """Inputs, states and parameters that all want a gradient."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    return [
        [draw(steps, batch, *kind.sizes) for kind in program.inputs.values()],
        [draw(batch, *kind.sizes) for kind in program.states.values()],
        [draw(*kind.sizes) for kind in program.params.values()],
    ]


@pytest.mark.parametrize("given", [True, False], ids=["given-states", "declared-states"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_match_numerical_ones(name: str, reverse: bool, given: bool) -> None:
    torch.manual_seed(0)
    program = make_program(GRAPHS[name](), reverse)
    inputs, states, params = tensors(program, 3, 2)
    states = states if given else []
    first, second = len(inputs), len(inputs) + len(states)

    def function(*flat: Tensor) -> tuple[Tensor, ...]:
        parts = (list(flat[:first]), list(flat[first:second]), list(flat[second:]))
        return tuple(run(register(program), *parts))

    assert torch.autograd.gradcheck(function, (*inputs, *states, *params))


@pytest.mark.parametrize("wanted", ["input", "state", "param", "nothing"])
def test_only_the_wanted_gradients_are_computed(wanted: str) -> None:
    program = make_program(lstm())
    inputs, states, params = tensors(program, 3, 2)
    groups = {"input": inputs, "state": states, "param": params}
    for name, group in groups.items():
        for tensor in group:
            tensor.requires_grad_(name == wanted)
    results = run(register(program), inputs, states, params)
    if wanted == "nothing":
        assert not any(result.requires_grad for result in results)
        return
    torch.stack([result.sum() for result in results]).sum().backward()  # type: ignore[no-untyped-call]
    for name, group in groups.items():
        assert all((tensor.grad is not None) == (name == wanted) for tensor in group)


@pytest.mark.parametrize("name", GRAPHS)
def test_operators_are_well_formed(name: str) -> None:
    program = make_program(GRAPHS[name]())
    arguments = tensors(program, 3, 2)
    torch.library.opcheck(torch.ops.rnndsl.run.default, (program.text, *arguments))


def test_a_program_reads_back_from_its_text() -> None:
    program = make_program(lstm(), reverse=True)
    assert parse_program(program.text) == program
    assert find_runner(program.text) is find_runner(register(program))


def test_text_that_is_no_program_is_refused() -> None:
    with pytest.raises(ProgramTextError, match="not a program"):
        parse_program("graph x {}")
    with pytest.raises(ProgramTextError, match="newer"):
        parse_program("rnndsl program 7 forward torch\n")


def test_a_second_derivative_is_a_clear_error() -> None:
    program = make_program(lstm())
    inputs, states, params = tensors(program, 2, 1)
    y = run(register(program), inputs, states, params)[0]
    (gradient,) = torch.autograd.grad(y.sum(), inputs, create_graph=True)
    with pytest.raises(SecondDerivativeError, match="cannot be differentiated twice"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


def test_transforms_that_an_operator_would_lose_are_refused() -> None:
    program = make_program(lstm())
    inputs, states, params = ([t.detach() for t in g] for g in tensors(program, 2, 1))
    handle = register(program)

    def function(x: Tensor) -> Tensor:
        result: Tensor = run(handle, [x], states, params)[0]
        return result

    with pytest.raises(TransformError, match="torch.func"):
        torch.func.jvp(function, (inputs[0],), (inputs[0],))
    with pytest.raises(TransformError, match="torch.func"):
        torch.func.grad(lambda x: function(x).sum())(inputs[0])
    level = forward_ad.dual_level()
    with torch.no_grad(), level, pytest.raises(TransformError, match="forward-mode"):
        function(forward_ad.make_dual(inputs[0], inputs[0]))  # type: ignore[no-untyped-call]
    x = inputs[0].requires_grad_()
    y = function(x)
    with pytest.raises(TransformError, match="batched gradients"):
        torch.autograd.grad(y, x, torch.ones(3, *y.shape).to(y), is_grads_batched=True)


def test_results_share_no_memory_with_anything() -> None:
    program = make_program(GRAPHS["window"]())
    arguments = [[t.detach() for t in group] for group in tensors(program, 3, 2)]
    results = run(register(program), *arguments)
    places = [t.untyped_storage().data_ptr() for t in (*results, *itertools.chain(*arguments))]
    assert len(set(places)) == len(places)
