"""Streams: the layer's sequence, one step at a time, on the weights of one moment."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import rnndsl
from rnndsl.backends.torch import LayerInputError, LayerOptionError
from tests.backends.reference import random_inputs
from tests.backends.test_layer_call import LEARNED, PAIRED, make

pytestmark = pytest.mark.usefixtures("each_backend")
torch.set_num_threads(1)

FEEDFORWARD = "cell F(D, H):\n    input x: [D]\n    y = tanh(linear[H](x))\n    return y\n"


def steps_of(stream: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The outputs of a stream that is fed a sequence."""
    main, *others = inputs
    steps = len(inputs[main])
    return torch.stack(
        [stream(inputs[main][t], **{n: inputs[n][t] for n in others}) for t in range(steps)]
    )


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("cell", ["lstm", "mlstm", PAIRED, LEARNED, FEEDFORWARD])
def test_a_stream_gives_the_sequence(cell: str, batch: int) -> None:
    layer = make(cell, 3, 4, num_layers=2 if cell in ("lstm", LEARNED) else 1)
    inputs = random_inputs(layer, 5, batch)
    main, *others = inputs
    with torch.no_grad():
        y, state = layer(inputs[main], **{name: inputs[name] for name in others})
    stream = layer.stream(batch)
    torch.testing.assert_close(steps_of(stream, inputs), y)
    torch.testing.assert_close(stream.state, state)
    stream.reset()
    torch.testing.assert_close(steps_of(stream, inputs), y)


def test_a_stream_goes_on_from_given_states() -> None:
    layer = make("lstm", 3, 4, num_layers=2)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    y, _ = layer(x)
    _, middle = layer(x[:3])
    stream = layer.stream(2)
    stream.reset(middle)
    torch.testing.assert_close(steps_of(stream, {"x": x[3:]}), y[3:].detach())
    kept, before = stream.state, [state.clone() for state in stream.state]
    stream(x[0])
    torch.testing.assert_close(kept, tuple(before))


def test_outputs_stay_as_they_are() -> None:
    stream = make("gru", 3, 4).stream()
    x = torch.randn(1, 3, dtype=torch.float64)
    first = stream(x)
    before = first.clone()
    stream(x)
    assert torch.equal(first, before)


def test_the_weights_are_those_of_the_moment_when_the_stream_was_made() -> None:
    layer = make("gru", 3, 4)
    x = torch.randn(1, 3, dtype=torch.float64)
    stream, expected = layer.stream(), layer.step(x)[0]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    torch.testing.assert_close(stream(x), expected.detach())
    assert not layer.stream()(x).any()


def test_one_example_may_come_without_a_batch_axis_and_in_any_layout() -> None:
    layer = make("lstm", 3, 4, batch_first=True, dropout=0.5, num_layers=2).train()
    stream = layer.stream()
    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    y = torch.stack([stream(x[t, :, 0]) for t in range(4)])
    assert not y.requires_grad
    torch.testing.assert_close(y, layer.eval()(x[:, :, 0])[0].detach())


def test_an_input_that_is_negated_where_it_is_read_is_taken_as_it_reads() -> None:
    x = torch.complex(torch.ones(1, 1), torch.full((1, 1), 0.7)).conj().imag
    assert x.is_neg() and x.is_contiguous()
    layer = rnndsl.layer("elman", 1, 4)
    assert torch.equal(layer.stream()(x), layer.stream()(torch.full((1, 1), -0.7)))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_says_how_to_make_another_like_it(copied: Callable[[object], object]) -> None:
    layer = make("lstm", 3, 4)
    stream, x = layer.stream(), torch.randn(3, dtype=torch.float64)
    stream(x)
    with pytest.raises(TypeError, match=r"make another one by layer.stream\(\)"):
        copied(stream)
    other = layer.stream()
    other.reset(stream.state)
    assert torch.equal(other(x), stream(x))


def test_what_does_not_fit_a_stream_is_named() -> None:
    layer = make(PAIRED, 3, 5)
    stream = layer.stream(2)
    x, time = torch.zeros(2, 3).double(), torch.zeros(2).double()
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: stream(x), "input `time` is missing"),
        (lambda: stream(x[:1], time=time[:1]), "input `x` has size 1 along B, expected 2"),
        (lambda: stream(x[:, :2], time=time), "expected 3"),
        (lambda: stream(x.float(), time=time), "input `x` is torch.float32"),
        (lambda: stream(cast(Any, [1.0]), time=time), "input `x` must be a tensor, not a list"),
        (lambda: stream.reset(x), "1 states given, expected 2"),
        (lambda: make("gru", 3, 5, bidirectional=True).stream(), "has no step"),
    ]
    for wrong, message in cases:
        with pytest.raises(LayerInputError) as caught:
            wrong()
        assert message in str(caught.value)
    with pytest.raises(LayerOptionError, match="batch must be a whole number from 1"):
        layer.stream(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_stream_computes_in_the_dtype_of_the_layer(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = rnndsl.layer("lstm", 3, 4, dtype=dtype)
    x = torch.randn(5, 2, 3, dtype=dtype)
    with torch.no_grad():
        y, _ = layer(x)
    found = steps_of(layer.stream(2), {"x": x})
    assert found.dtype == y.dtype == dtype
    torch.testing.assert_close(found, y, atol=0.02, rtol=0.02)


def test_a_stream_made_in_inference_mode_serves_outside_too() -> None:
    layer, x = make("lstm", 3, 5), torch.randn(2, 3, dtype=torch.float64)
    with torch.inference_mode():
        stream = layer.stream()
        inside = [stream(step) for step in x]
    stream.reset()
    outside = [stream(step) for step in x]
    stream.reset(stream.state)
    assert all(map(torch.equal, inside, outside))


def test_a_stream_computes_under_modes_that_make_fake_tensors_and_refuses_these() -> None:
    layer, x = make("lstm", 3, 5), torch.randn(3, dtype=torch.float64)
    wanted, stream = layer.stream()(x), layer.stream()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found = stream(x)
    assert torch.equal(found, wanted)
    with pytest.raises(LayerInputError, match="memory of input `x` is on meta"):
        stream(mode.from_tensor(x))
