"""Calls without gradients that are like earlier ones take a short way, and nobody can tell."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._debug_mode import DebugMode
from torch.utils._python_dispatch import TorchDispatchMode

import rnndsl
from rnndsl.backends.torch import Layer, LayerInputError, TransformError, operators, programs
from rnndsl.backends.torch.repeats import Repeat
from tests.backends.test_layer_call import LEARNED, PAIRED

torch.set_num_threads(1)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many states each call was given that took the short way; none is remembered yet."""
    for runner in programs._runners.values():
        runner._repeats._known.clear()
    found: list[int] = []
    ordinary = Repeat.__call__

    def seen(self: Repeat, inputs: Any, states: Any, params: Any) -> list[Tensor]:
        found.append(len(states))
        return ordinary(self, inputs, states, params)

    monkeypatch.setattr(Repeat, "__call__", seen)
    return found


def make(cell: str = "lstm", **options: Any) -> Layer:
    torch.manual_seed(0)
    found = rnndsl.parse(cell) if "\n" in cell else cell
    return rnndsl.layer(found, 3, 5, **options)


def stream(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def tensors(result: Any) -> list[Tensor]:
    """The output, then the states."""
    y, state = result
    return [y, *(state if isinstance(state, tuple) else (state,))]


def usual(layer: Layer, *given: Any) -> list[Tensor]:
    """What a call gives that nothing is known about."""
    with torch.enable_grad(), patch.object(operators, "call_again", return_value=None):
        return [tensor.detach() for tensor in tensors(layer(*given))]


def same(found: Any, wanted: list[Tensor]) -> bool:
    return all(map(torch.equal, tensors(found), wanted))


@pytest.mark.parametrize("options", [{}, {"batch_first": True}], ids=["time first", "batch first"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "s4d", LEARNED])
@torch.no_grad()
def test_the_second_call_is_short_and_equals_the_first(
    cell: str, options: dict[str, Any], taken: list[int]
) -> None:
    layer, x = make(cell, **options), stream(4, 2, 3)
    first = tensors(layer(x))
    assert not taken
    assert same(layer(x), first)
    assert same(layer(x.clone()), usual(layer, x))
    assert taken == [0, 0]


@torch.no_grad()
def test_states_are_carried_and_those_given_stay_as_they_are(taken: list[int]) -> None:
    layer, x = make(), stream(7, 2, 3)
    whole, (h, c) = layer(x)
    parts, state = [], layer(x[:1])[1]
    parts.append(layer(x[:1])[0])
    for t in range(1, 7):
        before = [s.clone() for s in state]
        y, after = layer(x[t : t + 1], state)
        assert all(map(torch.equal, state, before))
        parts.append(y)
        state = after
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(state, (h, c))
    assert taken == [0, 2, 2, 2, 2, 2]


@torch.no_grad()
def test_results_share_no_memory_with_those_of_other_calls() -> None:
    layer, x = make(), stream(4, 2, 3)
    layer(x)
    one, other = tensors(layer(x)), tensors(layer(x))
    assert len({t.untyped_storage().data_ptr() for t in (*one, *other)}) == 6
    for tensor in one:
        tensor.zero_()
    assert same(layer(x), other)


def _in_place(layer: Layer) -> None:
    layer.get_parameter("layers.0.i.x.weight").mul_(2)


def _other_memory(layer: Layer) -> None:
    layer.get_parameter("layers.0.f.bias").data = stream(5)


def _other_parameter(layer: Layer) -> None:
    layer.get_submodule("layers.0.i.x").weight = nn.Parameter(stream(5, 3))


def _other_strides(layer: Layer) -> None:
    layer.get_parameter("layers.0.i.h.weight").data = stream(5, 5).t()


def _other_type(layer: Layer) -> None:
    layer.double().float()


def _parametrized(layer: Layer) -> None:
    nn.utils.parametrizations.weight_norm(layer.get_submodule("layers.0.g.h"))
    layer.get_parameter("layers.0.g.h.parametrizations.weight.original0").mul_(3)


CHANGES = [
    _in_place,
    _other_memory,
    _other_parameter,
    _other_strides,
    _other_type,
    _parametrized,
]


@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_a_change_of_parameters_is_seen(change: Callable[[Layer], None]) -> None:
    layer, x = make(), stream(4, 2, 3)
    layer(x)
    layer(x)
    change(layer)
    wanted = usual(layer, x)
    for _ in range(3):
        torch.testing.assert_close(tensors(layer(x)), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("gradients", [False, True])
def test_tensors_that_do_not_fit_are_refused_after_calls_that_did(gradients: bool) -> None:
    with torch.set_grad_enabled(gradients):
        _refuse_others_after_calls_that_fit()


def _refuse_others_after_calls_that_fit() -> None:
    layer, x = make(), stream(4, 2, 3)
    state = tuple(s.detach() for s in layer(x)[1])
    for given in ((x,), (x, state)):
        layer(*given)
    h, c = state
    for wrong in [
        (stream(4, 2, 4),),
        (x.double(),),
        (x.to_sparse(),),
        (x, (h,)),
        (x, (h, c, c)),
        (x, (h, c[:, :1])),
        (x, (h, c[0])),
        (x, (h[0], c[0])),
        (x, (h, c[0].to_sparse_csr())),
        (x, (h, c.double())),
        (x, (h, None)),
        (x, (h, torch.cat([c, c]))),
        (x, 1),
    ]:
        with pytest.raises(LayerInputError):
            layer(*wrong)
    for taps in (None, 0, np.array(["c'"])):
        with pytest.raises(LayerInputError, match="taps"):
            layer(x, taps=taps)


@torch.no_grad()
def test_one_parameter_that_does_not_fit_is_refused_after_calls_that_did() -> None:
    layer, x = make(), stream(4, 2, 3)
    layer(x)
    layer(x)
    layer.get_parameter("layers.0.i.x.weight").data = stream(5, 4)
    with pytest.raises(LayerInputError, match="i.x.weight"):
        layer(x)


@torch.no_grad()
def test_other_layouts_of_the_same_numbers_give_the_same() -> None:
    layer, x = make(), stream(4, 2, 3)
    wanted = tensors(layer(x))
    layer(x)
    for other in (
        x.transpose(0, 1).contiguous().transpose(0, 1),
        torch._neg_view(-x),
        torch.stack([x, x], -1)[..., 0],
        nn.Parameter(x),
        x.unsqueeze(0).expand(2, 4, 2, 3)[1],
    ):
        for _ in range(2):
            assert same(layer(other), wanted)


def test_gradients_come_after_calls_without_them() -> None:
    layer, x = make(), stream(4, 2, 3)
    with torch.no_grad():
        layer(x)
        layer(x)
    y, _ = layer(x)
    y.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_calls_in_inference_mode_and_without_gradients_may_alternate(taken: list[int]) -> None:
    layer, x = make(), stream(4, 2, 3)
    wanted = usual(layer, x)
    for _ in range(2):
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                for _ in range(3):
                    found = layer(x)
                    assert same(found, wanted)
                    assert found[0].is_inference() == (mode is torch.inference_mode)
    assert len(taken) == 10


@torch.no_grad()
def test_transforms_and_tangents_are_refused_after_calls_without_them() -> None:
    layer, x = make(), stream(4, 2, 3)
    layer(x)
    layer(x)
    with pytest.raises(TransformError):
        torch.func.vmap(lambda one: layer(one)[0])(stream(5, 4, 2, 3))
    with forward_ad.dual_level(), pytest.raises(TransformError):
        layer(forward_ad.make_dual(x, torch.ones_like(x)))  # type: ignore[no-untyped-call]


@torch.no_grad()
def test_autocast_is_heeded_after_calls_without_it() -> None:
    layer, x = make(), stream(4, 2, 3)
    wanted = tensors(layer(x.bfloat16().float()))
    layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            assert same(layer(x.bfloat16()), wanted)
    with pytest.raises(LayerInputError):
        layer(x.bfloat16())


@torch.no_grad()
def test_whoever_watches_sees_every_call() -> None:
    layer, x = make(), stream(4, 2, 3)
    layer(x)
    layer(x)
    seen: list[str] = []

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():  # type: ignore[no-untyped-call]
        layer(x)
    assert "rnndsl.run.default" in seen
    inner: list[str] = []
    handle = layer.get_submodule("layers.0").register_forward_hook(
        lambda module, given, result: inner.append("hook")
    )
    layer(x)
    handle.remove()
    layer(x)
    assert inner == ["hook"]
    everywhere = nn.modules.module.register_module_forward_hook(
        lambda module, given, result: inner.append(type(module).__name__)
    )
    layer(x)
    everywhere.remove()
    assert inner == ["hook", "Direction", "Layer"]


@torch.no_grad()
def test_tracers_and_profilers_see_calls_like_earlier_ones() -> None:
    layer, x = make(), stream(4, 2, 3)
    layer(x)
    layer(x)
    traced = make_fx(lambda x: layer(x)[0])(x)
    assert "rnndsl.run" in traced.code
    with DebugMode() as seen:
        layer(x)
    assert any("rnndsl" in str(call) for call in seen.operators)
    with torch.profiler.profile() as profile:
        layer(x)
    assert "rnndsl::run" in {event.key for event in profile.key_averages()}


@torch.no_grad()
def test_fake_tensors_may_follow_calls_with_real_ones() -> None:
    layer, x = make(), stream(4, 2, 3)
    first = tensors(layer(x))
    layer(x)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert [t.shape for t in tensors(layer(x))] == [t.shape for t in first]
    assert same(layer(x), first)


@torch.no_grad()
def test_a_layer_and_its_copies_all_take_the_short_way(taken: list[int]) -> None:
    layer, x = make(), stream(4, 2, 3)
    frozen = copy.deepcopy(layer).requires_grad_(False)
    wanted = usual(layer, x)
    for _ in range(4):
        assert same(layer(x), wanted)
        assert same(frozen(x), wanted)
    assert len(taken) == 6


@torch.no_grad()
def test_a_parameter_that_stands_in_two_places_gives_the_same_as_two() -> None:
    layer, x = make(), stream(4, 2, 3)
    other = layer.get_parameter("layers.0.f.x.weight")
    layer.get_submodule("layers.0.i.x").weight = other
    wanted = usual(layer, x)
    for _ in range(3):
        assert same(layer(x), wanted)


@torch.no_grad()
def test_parametrizations_run_as_often_in_every_call() -> None:
    layer, x = make(), stream(4, 2, 3)
    runs: list[int] = []

    class Count(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            runs.append(1)
            return 2 * weight

    place = layer.get_submodule("layers.0.i.x")
    nn.utils.parametrize.register_parametrization(place, "weight", Count())
    counts = []
    for _ in range(3):
        runs.clear()
        layer(x)
        counts.append(len(runs))
    assert len(set(counts)) == 1


@torch.no_grad()
def test_a_parameter_with_the_other_sign_in_memory_is_read_with_its_own() -> None:
    layer, x = make(), stream(4, 2, 3)
    weight = torch.complex(torch.zeros(5, 3), stream(5, 3)).conj().imag
    assert weight.is_neg()
    place = layer.get_submodule("layers.0.i.x")
    place.weight = nn.Parameter(weight)
    found = [tensors(layer(x)) for _ in range(3)]
    place.weight = nn.Parameter(weight.clone())
    wanted = tensors(layer(x))
    assert all(all(map(torch.equal, one, wanted)) for one in found)


@torch.no_grad()
def test_zeros_without_memory_are_zeros_like_others() -> None:
    layer, zeros = make(), torch._efficientzerotensor((4, 2, 3))
    wanted = tensors(layer(torch.zeros(4, 2, 3)))
    for _ in range(3):
        assert same(layer(zeros), wanted)


@torch.no_grad()
def test_no_states_at_all_are_refused_after_calls_without_any() -> None:
    layer, x = make(), stream(4, 2, 3)
    layer(x)
    for kind in (tuple, list):
        with pytest.raises(LayerInputError, match="0 states"):
            layer(x, kind())


@torch.no_grad()
def test_a_missing_input_is_named_after_calls_with_it() -> None:
    layer, x = make(PAIRED), stream(4, 2, 3)
    for _ in range(2):
        layer(x, time=torch.zeros(4, 2))
    with pytest.raises(LayerInputError, match="input `time` is missing"):
        layer(x)


@torch.no_grad()
def test_a_forward_method_that_was_replaced_is_called() -> None:
    layer, x = make(), stream(4, 2, 3)
    layer(x)
    direction: Any = layer.layers["0"]
    forward, seen = Mock(side_effect=direction.forward), 2
    direction.forward = forward
    for _ in range(seen):
        layer(x)
    assert forward.call_count == seen


@torch.no_grad()
def test_no_more_than_so_many_sizes_are_remembered(taken: list[int]) -> None:
    layer = make()
    for steps in range(1, 150):
        x = stream(steps, 1, 3)
        assert same(layer(x), tensors(layer(x)))
    assert len(taken) == 149


@torch.no_grad()
def test_as_many_threads_as_pytorch_has_at_each_call() -> None:
    torch.manual_seed(0)
    layer, x = rnndsl.layer("lstm", 64, 64), torch.randn(64, 8, 64)
    wanted = tensors(layer(x))
    for threads in (2, 1, 2):
        torch.set_num_threads(threads)
        try:
            torch.testing.assert_close(tensors(layer(x)), wanted, rtol=0, atol=0)
        finally:
            torch.set_num_threads(1)


@torch.no_grad()
def test_stacked_and_bidirectional_layers_repeat_too(taken: list[int]) -> None:
    layer, x = make(num_layers=2, bidirectional=True), stream(4, 2, 3)
    first = tensors(layer(x))
    assert same(layer(x), first)
    assert len(taken) == 4
