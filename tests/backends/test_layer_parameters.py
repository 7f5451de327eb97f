"""A layer's parameters: their names, where they are kept, and what a user may do with them."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor, nn

import rnndsl
from rnndsl.backends.torch import LayerInputError

pytestmark = pytest.mark.usefixtures("each_backend")
torch.set_num_threads(1)


def test_parameters_have_the_names_of_the_cell() -> None:
    layer = rnndsl.layer("lstm", 3, 5, 2, bidirectional=True)
    keys = set(layer.state_dict())
    assert {"layers.0.i.x.weight", "layers.0_reverse.i.bias", "layers.1.o.h.weight"} <= keys
    assert dict(layer.named_parameters())["layers.1.i.x.weight"].shape == (5, 10)
    assert layer.parameter_count() == sum(p.numel() for p in layer.parameters())


def test_frozen_parameters_are_saved_but_do_not_train() -> None:
    layer = rnndsl.layer(
        rnndsl.parse(
            "cell C(D, H):\n    input x: [D]\n    state h: [H]\n"
            "    param scale: [H] = ones frozen\n"
            "    h' = scale * tanh(linear[H](x, h))\n    return h'\n"
        ),
        3,
        5,
    )
    assert "layers.0.scale" in layer.state_dict()
    assert not any("scale" in name for name, _ in layer.named_parameters())
    assert layer.parameter_count() - layer.parameter_count(trainable_only=True) == 5
    layer(torch.randn(2, 1, 3))[0].sum().backward()


def test_names_that_a_module_has_already_get_an_underscore() -> None:
    layer = rnndsl.layer(
        rnndsl.parse(
            "cell C(D, H):\n    input x: [D]\n    state h: [H]\n"
            "    type = sigmoid(linear[H](x))\n"
            "    train = tanh(linear[H](x, h))\n    h' = type * train\n    return h'\n"
        ),
        3,
        5,
    )
    assert "layers.0.type_.x.weight" in layer.state_dict()
    layer.train()
    layer(torch.randn(2, 1, 3))[0].sum().backward()
    copy.deepcopy(layer)(torch.randn(2, 1, 3))


@pytest.mark.parametrize("name", ["sizes", "graph", "backend", "paths", "placeholder", "zip"])
def test_a_parameter_may_have_any_name(name: str) -> None:
    text = (
        f"cell C(D):\n    input x: [D]\n    param {name}: [D]\n    param {name}_: [D]\n"
        f"    state h: [D]\n    h' = h * {name} + x * {name}_\n    return h'\n"
    )
    layer = rnndsl.layer(rnndsl.parse(text), 3)
    layer(torch.randn(2, 1, 3))[0].sum().backward()
    assert len(layer.state_dict()) == 2
    copy.deepcopy(layer).load_state_dict(layer.state_dict())


def test_the_seed_of_torch_decides_the_parameters() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(rnndsl.layer("gru", 3, 5).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["layers.0.r.x.weight"], states[2]["layers.0.r.x.weight"])
    assert states[0]["layers.0.r.x.weight"].abs().max() <= 5**-0.5


def test_copies_and_pickles_compute_the_same() -> None:
    layer = rnndsl.layer("lstm", 3, 5, 2)
    x = torch.randn(4, 2, 3)
    y, _ = layer(x)
    stream = io.BytesIO()
    torch.save(layer, stream)
    stream.seek(0)
    saved = torch.load(stream, weights_only=False)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), saved):
        assert torch.equal(other(x)[0], y)
    fresh = rnndsl.layer("lstm", 3, 5, 2)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x)[0], y)


def test_a_copy_has_parameters_of_its_own() -> None:
    layer = rnndsl.layer("elman", 3, 4)
    x = torch.randn(5, 2, 3)
    before = layer(x)[0].detach().clone()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        assert not other(x)[0].any()
        assert torch.equal(layer(x)[0], before)


def test_parameters_may_be_replaced_and_parametrized() -> None:
    layer, x = rnndsl.layer("elman", 3, 4), torch.randn(5, 2, 3)
    zeros = {name: torch.zeros_like(value) for name, value in layer.state_dict().items()}
    assert not torch.func.functional_call(layer, zeros, (x,))[0].any()
    assert layer(x)[0].any()
    for group in [
        module for module in layer.modules() if dict(module.named_parameters(recurse=False))
    ]:
        for name, _ in list(group.named_parameters(recurse=False)):
            nn.utils.parametrize.register_parametrization(group, name, _Zero())
    assert not layer(x)[0].any()
    other = rnndsl.layer("elman", 3, 4)
    other.load_state_dict(zeros, assign=True)
    assert not other(x)[0].any()


def test_groups_of_parameters_may_be_shared() -> None:
    first, second = rnndsl.layer("lstm", 3, 5), rnndsl.layer("lstm", 3, 5)
    second.layers["0"].i = first.layers["0"].i
    same = rnndsl.layer("lstm", 3, 5)
    same.load_state_dict(second.state_dict())
    x = torch.randn(4, 2, 3)
    assert torch.equal(second(x)[0], same(x)[0])


@pytest.mark.parametrize(("cell", "group", "name"), [("elman", "a", "bias"), ("s4d", "", "pole")])
def test_a_parameter_that_does_not_fit_is_refused(cell: str, group: str, name: str) -> None:
    """A kernel is given its address, which tells nothing of its shape."""
    for change in (Tensor.double, lambda value: value.new_zeros(2), lambda value: value.to("meta")):
        layer = rnndsl.layer(cell, 3, 5)
        owner = layer.first.get_submodule(group)
        setattr(owner, name, nn.Parameter(change(getattr(owner, name).detach())))
        with pytest.raises((LayerInputError, RuntimeError)), torch.no_grad():
            layer(torch.randn(2, 1, 3))


def test_a_parameter_that_was_taken_away_is_missed_by_name() -> None:
    layer = rnndsl.layer("lstm", 3, 5)
    layer.first.get_submodule("i").register_parameter("bias", None)
    for use in (lambda: layer(torch.randn(2, 1, 3)), layer.stream, lambda: layer.memory_plan(2, 1)):
        with pytest.raises(LayerInputError, match=r"parameter `i.bias` must be a tensor"):
            use()


class _Zero(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return 0 * value
