"""Training steps like earlier ones take a short way, and nobody can tell."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.utils._debug_mode import DebugMode
from torch.utils.checkpoint import checkpoint

import rnndsl
from rnndsl.backends.torch import (
    Layer,
    LayerInputError,
    SecondDerivativeError,
    TransformError,
    operators,
    programs,
)
from rnndsl.backends.torch.calls import program_call
from rnndsl.backends.torch.repeats import TrainingRepeat
from tests.backends.test_layer_call import LEARNED, PAIRED
from tests.backends.test_repeated_calls import make, stream, tensors

torch.set_num_threads(1)


def forget() -> None:
    for runner in programs._runners.values():
        runner._training_repeats._known.clear()
        runner._training_repeats._seen.clear()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passes that took the short way; none is remembered yet."""
    forget()
    found: list[str] = []
    for name in ("run_saving", "run_backward"):
        ordinary = getattr(TrainingRepeat, name)

        def seen(*given: Any, name: str = name, ordinary: Any = ordinary) -> list[Tensor]:
            found.append(name)
            results: list[Tensor] = ordinary(*given)
            return results

        monkeypatch.setattr(TrainingRepeat, name, seen)
    return found


def step(layer: Layer, *given: Any, **inputs: Tensor) -> list[Tensor]:
    """The results of a call and the gradients of a loss of all of them."""
    given = tuple(
        tuple(s.detach().requires_grad_() for s in one) if isinstance(one, tuple) else one
        for one in given
    )
    results = tensors(layer(*given, **inputs))
    loss = loss_of(results)
    leaves = [t for one in given for t in (one if isinstance(one, tuple) else (one,))]
    wanted = [t for t in (*leaves, *layer.parameters()) if t.requires_grad]
    return [t.detach() for t in (*results, *torch.autograd.grad(loss, wanted))]


def loss_of(results: list[Tensor]) -> Tensor:
    return torch.stack([t.sin().sum() for t in results]).sum()


def usual(layer: Layer, *given: Any, **inputs: Tensor) -> list[Tensor]:
    """The same the long way."""
    with patch.object(operators, "call_again", return_value=None):
        return step(layer, *given, **inputs)


def same(found: list[Tensor], wanted: list[Tensor]) -> bool:
    return len(found) == len(wanted) and all(map(torch.equal, found, wanted))


@pytest.mark.parametrize("options", [{}, {"batch_first": True}], ids=["time first", "batch first"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "sru", LEARNED])
def test_a_third_step_is_short_and_equals_the_first(
    cell: str, options: dict[str, Any], taken: list[str]
) -> None:
    layer, x = make(cell, **options), stream(4, 2, 3).requires_grad_()
    first = step(layer, x)
    assert same(step(layer, x), first)
    assert not taken
    assert same(step(layer, x), first)
    assert taken == ["run_saving", "run_backward"]
    assert same(usual(layer, x), first)


def test_steps_of_which_each_has_other_sizes_are_not_remembered(taken: list[str]) -> None:
    layer = make()
    for _ in range(3):
        for steps in range(1, 25):
            step(layer, stream(steps, 2, 3))
    assert not taken
    for _ in range(4):
        for steps in range(1, 5):
            step(layer, stream(steps, 2, 3))
    assert len(taken) == 2 * 2 * 4


def test_given_states_have_gradients_too(taken: list[str]) -> None:
    layer, x = make(), stream(4, 2, 3).requires_grad_()
    state = tuple(layer(x)[1])
    wanted = usual(layer, x, state)
    for _ in range(3):
        assert same(step(layer, x, state), wanted)
    assert taken == ["run_saving", "run_backward"] * 2


def test_further_inputs_and_stacked_layers_take_the_short_way(taken: list[str]) -> None:
    layer, x = make(PAIRED), stream(4, 2, 3).requires_grad_()
    time = torch.rand(4, 2)
    wanted = usual(layer, x, time=time)
    for _ in range(3):
        assert same(step(layer, x, time=time), wanted)
    assert len(taken) == 4
    layer = make(num_layers=2, bidirectional=True)
    wanted = usual(layer, x)
    for _ in range(3):
        assert same(step(layer, x), wanted)
    assert len(taken) == 4 + 16


def test_freezing_a_parameter_or_an_input_is_seen(taken: list[str]) -> None:
    layer, x = make(), stream(4, 2, 3).requires_grad_()
    weight = layer.get_parameter("layers.0.i.x.weight")
    for _ in range(3):
        for frozen in (weight, x):
            for flag in (False, True):
                frozen.requires_grad_(flag)
                assert same(step(layer, x), usual(layer, x))
    assert len(taken) == 2 * 9  # three ways of wanting gradients, one step of each is the first


def test_no_gradient_is_recorded_where_none_is_wanted() -> None:
    layer, x = make(), stream(4, 2, 3)
    step(layer, x)
    step(layer, x)
    with torch.no_grad():
        assert not any(t.requires_grad for t in tensors(layer(x)))
    layer.requires_grad_(False)
    assert not any(t.requires_grad for t in tensors(layer(x)))


@pytest.mark.parametrize("which", [[0], [1], [2], [0, 2]])
def test_a_loss_may_read_some_of_the_results(which: list[int]) -> None:
    layer, x = make(), stream(4, 2, 3)

    def gradients() -> list[Tensor]:
        results = tensors(layer(x))
        loss = loss_of([results[k] for k in which])
        return list(torch.autograd.grad(loss, list(layer.parameters())))

    with patch.object(operators, "call_again", return_value=None):
        wanted = gradients()
    for _ in range(3):
        assert same(gradients(), wanted)


@pytest.mark.parametrize("reverse", [False, True])
def test_several_passes_may_be_under_way(reverse: bool) -> None:
    layer, streams = make(LEARNED), [stream(4, 2, 3) * k for k in (1, 2, 3)]
    wanted = [usual(layer, x)[2:] for x in streams]
    step(layer, streams[0])
    outputs = [tensors(layer(x)) for x in streams]
    order = reversed(range(3)) if reverse else range(3)
    for k in order:
        loss = loss_of(outputs[k])
        for _ in range(2):
            found = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
            assert same(list(found), wanted[k])


def test_gradients_and_results_share_no_memory_with_those_of_other_steps() -> None:
    layer, x = make(), stream(4, 2, 3).requires_grad_()
    wanted = step(layer, x)
    for _ in range(3):
        found = step(layer, x)
        assert same(found, wanted)
        for tensor in found:
            tensor.zero_()


def test_weights_written_to_between_the_passes_are_an_error() -> None:
    layer, x = make(), stream(4, 2, 3)
    for _ in range(3):
        y, _ = layer(x)
        with torch.no_grad():
            layer.get_parameter("layers.0.i.x.weight").mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.backward(y.sum())


def test_second_derivatives_and_batched_gradients_are_refused_after_the_first_step() -> None:
    layer, x = make(), stream(4, 2, 3).requires_grad_()
    wanted = step(layer, x)[3]
    for _ in range(2):
        loss = loss_of(tensors(layer(x)))
        (found,) = torch.autograd.grad(loss, x, create_graph=True)
        assert torch.equal(found, wanted)
        with pytest.raises(SecondDerivativeError):
            torch.autograd.backward(found.sum())
        y, _ = layer(x)
        with pytest.raises(TransformError, match="batched"):
            torch.autograd.grad(y, x, torch.ones(3, *y.shape), is_grads_batched=True)


def test_checkpoints_run_a_call_again_by_either_way(taken: list[str]) -> None:
    layer, x = make(), stream(4, 2, 3).requires_grad_()
    state = tuple(s.detach().requires_grad_() for s in layer(x)[1])
    forget()
    wanted = usual(layer, x, state)

    def run(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors(layer(x, (h, c))))

    for _ in range(2):  # first the long way forward and the short one again, then the short one
        results: Any = checkpoint(run, x, *state, use_reentrant=False)
        loss = loss_of(results)
        found = torch.autograd.grad(loss, [x, *state, *layer.parameters()])
        assert same([*(t.detach() for t in results), *found], wanted)
    assert taken.count("run_saving") == 3


def test_what_is_saved_may_be_kept_elsewhere() -> None:
    layer, x = make(), stream(4, 2, 3).requires_grad_()
    wanted, counts = step(layer, x), []
    for train in (step, step, usual):
        packed: list[Tensor] = []

        def pack(tensor: Tensor, packed: list[Tensor] = packed) -> int:
            packed.append(tensor.clone())
            return len(packed) - 1

        with torch.autograd.graph.saved_tensors_hooks(pack, packed.__getitem__):
            assert same(train(layer, x), wanted)
        counts.append(len(packed))
    assert len(set(counts)) == 1


def test_whoever_watches_sees_both_passes_of_a_step() -> None:
    layer, x = make(), stream(4, 2, 3).requires_grad_()
    wanted = step(layer, x)
    step(layer, x)
    with DebugMode() as seen:
        assert same(step(layer, x), wanted)
    assert any("rnndsl" in str(call) for call in seen.operators)
    results = tensors(layer(x))
    with torch.profiler.profile() as profile:
        torch.autograd.backward(loss_of(results))
    assert "rnndsl::run_backward" in {event.key for event in profile.key_averages()}


def test_autocast_is_heeded_after_steps_without_it() -> None:
    layer, x = make(), stream(4, 2, 3).bfloat16().float()
    wanted = step(layer, x)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            assert same(step(layer, x.bfloat16()), wanted)
            found = tensors(layer(x))
            torch.autograd.backward(loss_of(found))
        with pytest.raises(LayerInputError):
            layer(x.bfloat16())


def test_a_memory_budget_is_kept_after_steps_without_one(taken: list[str]) -> None:
    torch.manual_seed(0)
    layer, x = rnndsl.layer("lstm", 8, 32), torch.randn(256, 2, 8)
    torch.manual_seed(0)
    tight = rnndsl.layer("lstm", 8, 32, memory_budget="128KiB")
    assert tight.memory_plan(256, 2).kind != "none"
    wanted = step(layer, x)
    for _ in range(3):
        assert same(step(layer, x), wanted)
        assert step(tight, x)[0].equal(wanted[0])
    assert len(taken) == 4


@pytest.mark.filterwarnings("ignore:Using non-full backward hooks:FutureWarning")
def test_hooks_of_both_passes_see_every_step() -> None:
    layer, x = make(), stream(4, 2, 3)
    seen: list[str] = []
    step(layer, x)
    step(layer, x)
    place = layer.get_submodule("layers.0")
    ahead = place.register_forward_hook(lambda *_: seen.append("forward"))
    step(layer, x)
    ahead.remove()
    place.register_backward_hook(lambda *_: seen.append("backward"))
    step(layer, x)
    step(layer, x)
    assert seen == ["forward", "backward", "backward"]


def test_an_optimizer_goes_on_as_it_would_the_long_way() -> None:
    def train(short: bool) -> list[Tensor]:
        layer, x = make("gru"), stream(4, 2, 3)
        optimizer = torch.optim.Adam(layer.parameters())
        for _ in range(5):
            optimizer.zero_grad()
            with patch.object(operators, "call_again", operators.call_again if short else no):
                layer(x)[0].square().mean().backward()
            optimizer.step()
        return [p.detach() for p in layer.parameters()]

    def no(*given: Any, **options: Any) -> None:
        return None

    assert same(train(True), train(False))


def test_outputs_of_the_operator_are_all_of_their_memory() -> None:
    torch.manual_seed(0)
    layer, x = rnndsl.layer("lstm", 64, 64), torch.randn(40, 8, 64)
    handle, names = program_call(layer.first.request, portable=False)
    params = [layer.first.tensor(name).detach() for name in names]
    needs = [False, *[True] * len(params)]
    y, *_ = torch.ops.rnndsl.run_saving(handle, [x], [], params, needs)
    assert (y.storage_offset(), y.untyped_storage().nbytes()) == (0, y.nbytes)
    assert torch.equal(layer(x)[0], y)


def test_a_parameter_that_stands_in_two_places_has_the_gradient_of_both() -> None:
    layer, x = make(), stream(4, 2, 3)
    place = layer.get_submodule("layers.0.i.x")
    place.weight = layer.get_parameter("layers.0.f.x.weight")
    wanted = usual(layer, x)
    for _ in range(3):
        assert same(step(layer, x), wanted)
