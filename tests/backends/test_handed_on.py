"""A backward pass takes what its forward pass made of the parameters, and nobody else's."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import rnndsl
from rnndsl.backends.torch.handed_on import HandedOn


def test_values_are_taken_once_by_the_pass_that_they_were_left_for() -> None:
    output, other = torch.zeros(3), torch.zeros(3)
    params = [torch.ones(2)]
    values = (params[0], params[0] * 2)
    handed = HandedOn()
    handed.leave(output, params, values)
    found = handed.take(output, params)
    assert found is not None and found[0] is values[0] and found[1] is values[1]
    assert handed.take(output, params) is None
    handed.leave(output, params, values)
    assert handed.take(other, params) is None
    handed.leave(output, params, values)
    params[0].add_(1)
    assert handed.take(output, params) is None
    handed.leave(output, params, values)
    assert handed.take(output, [params[0].view(2)]) is None  # another tensor in the same place
    handed.leave(output, params, (params[0],))  # nothing was made of them
    assert handed.take(output, params) is None


def test_parameters_are_not_held() -> None:
    handed, output, params = HandedOn(), torch.zeros(3), [torch.ones(2)]
    handed.leave(output, params, (params[0], params[0] * 2))
    gone = weakref.ref(params[0])
    params.clear()
    assert gone() is None


@pytest.mark.parametrize("backend", ["torch", "tvm"])
def test_a_backward_pass_makes_nothing_again(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backend == "tvm":
        pytest.importorskip("tvm")
    taken = []
    take = HandedOn.take

    def counted(handed: HandedOn, output: Tensor, params: Sequence[Tensor]) -> Any:
        taken.append(take(handed, output, params))
        return taken[-1]

    monkeypatch.setattr(HandedOn, "take", counted)
    layer, x = rnndsl.layer("s4d", 4, 5, backend=backend), torch.randn(6, 2, 4)
    layer(x)[0].sum().backward()
    scaled = {name: 2 * value for name, value in layer.named_parameters()}
    torch.func.functional_call(layer, scaled, (x,))[0].sum().backward()
    assert len(taken) == 2 and None not in taken


@pytest.mark.parametrize("backend", ["torch", "tvm"])
def test_gradients_are_those_of_the_parameters_of_each_pass(backend: str) -> None:
    if backend == "tvm":
        pytest.importorskip("tvm")
    torch.manual_seed(0)
    layer = rnndsl.layer("s4d", 4, 5, backend=backend)
    x = torch.randn(6, 2, 4)
    params = list(layer.parameters())

    def output() -> Tensor:
        y: Tensor = layer(x)[0]
        return y.square().sum()

    def gradients(loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, params, retain_graph=True))

    expected = gradients(output())
    first, second = output(), output()
    with torch.no_grad():  # others come in between
        for p in params:
            p.mul_(2)
    changed = gradients(output())
    with torch.no_grad():
        for p in params:
            p.div_(2)
    again = output()
    for loss in (again, again, output()):
        for found, one in zip(gradients(loss), expected, strict=True):
            torch.testing.assert_close(found, one)
    assert not any(torch.equal(a, b) for a, b in zip(changed, expected, strict=True))
    with pytest.raises(RuntimeError):  # written to since
        gradients(first + second)
