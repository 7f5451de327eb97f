"""Calling a layer: layouts, states, lengths, restarts, taps, streaming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.nested import nested_tensor
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
)

import rnndsl
from rnndsl.backends.torch import Layer, LayerInputError
from tests.backends.reference import call, interpret, random_inputs

pytestmark = pytest.mark.usefixtures("each_backend")
torch.set_num_threads(1)

PAIRED = """
cell Paired(D, H):
    input x: [D]
    input time: []
    state h: [H]
    state seen: [] = 1
    g = sigmoid(linear[H](x, h))
    seen' = seen + time
    h' = g * h + (1 - g) * tanh(linear[H](x)) * seen'
    return h'
"""

LEARNED = """
cell Learned(D, H):
    input x: [D]
    param h0: [H] = uniform(-1, 1)
    state h: [H] = tanh(h0)
    h' = tanh(linear[H](x, h))
    return h'
"""


def make(cell: str, *sizes: int, **options: Any) -> Layer:
    torch.manual_seed(0)
    found = rnndsl.parse(cell) if "\n" in cell else cell
    return rnndsl.layer(found, *sizes, dtype=torch.float64, **options)


@pytest.mark.parametrize(("steps", "batch"), [(4, 3), (1, 1), (5, 1), (1, 2)])
@pytest.mark.parametrize("cell", ["lstm", "gru", "mlstm", PAIRED, LEARNED])
def test_a_layer_computes_what_the_interpreter_says(cell: str, steps: int, batch: int) -> None:
    layer = make(cell, 3, 5 if cell != "mlstm" else 4)
    inputs = random_inputs(layer, steps, batch)
    y, *states = call(layer, inputs)
    wanted = interpret(layer, inputs)
    np.testing.assert_allclose(y.detach(), next(iter(wanted.outputs.values())), atol=1e-9)
    for state, exact in zip(states, wanted.states.values(), strict=True):
        np.testing.assert_allclose(state[0].detach(), exact, atol=1e-9)


def test_given_states_replace_the_declared_ones() -> None:
    layer = make("lstm", 3, 5)
    inputs = random_inputs(layer, 4, 2)
    given = {name: torch.randn(2, 5, dtype=torch.float64) for name in ("h", "c")}
    y, *_ = call(layer, inputs, tuple(state[None] for state in given.values()))
    wanted = interpret(layer, inputs, given)
    np.testing.assert_allclose(y.detach(), wanted.outputs["y"], atol=1e-9)


def test_one_state_is_passed_bare_and_several_as_a_tuple() -> None:
    _, single = make("gru", 3, 5, num_layers=2)(torch.randn(4, 2, 3, dtype=torch.float64))
    _, several = make("lstm", 3, 5, num_layers=2)(torch.randn(4, 2, 3, dtype=torch.float64))
    assert single.shape == (2, 2, 5)
    assert [state.shape for state in several] == [(2, 2, 5), (2, 2, 5)]


def test_batch_first_swaps_the_axes_of_streams_alone() -> None:
    layer, other = make(PAIRED, 3, 5), make(PAIRED, 3, 5, batch_first=True)
    x, time = random_inputs(layer, 4, 2).values()
    y, states = layer(x, time=time)
    z, others = other(x.transpose(0, 1), time=time.t())
    torch.testing.assert_close(z.transpose(0, 1), y)
    torch.testing.assert_close(others, states)


def test_one_sequence_may_come_without_a_batch_axis() -> None:
    for first in (False, True):
        layer = make("lstm", 3, 5, num_layers=2, bidirectional=True, batch_first=first)
        x = torch.randn(4, 3, dtype=torch.float64)
        start = tuple(torch.randn(4, 5, dtype=torch.float64) for _ in "hc")
        y, states = layer(x, start)
        batched = x[None] if first else x[:, None]
        z, others = layer(batched, tuple(state[:, None] for state in start))
        torch.testing.assert_close(y, z[0] if first else z[:, 0])
        assert [state.shape for state in states] == [(4, 5), (4, 5)]
        torch.testing.assert_close(states[1], others[1][:, 0])


def test_steps_one_by_one_give_the_sequence() -> None:
    layer = make(PAIRED, 3, 5, batch_first=True)
    x, time = (stream.transpose(0, 1) for stream in random_inputs(layer, 4, 2).values())
    y, states = layer(x, time=time)
    state = None
    outputs = []
    for t in range(4):
        here, state = layer.step(x[:, t], state, time=time[:, t])
        outputs.append(here)
    torch.testing.assert_close(torch.stack(outputs, 1), y)
    torch.testing.assert_close(state, states)
    single, _ = layer.step(x[0, 0], time=time[0, 0])
    torch.testing.assert_close(single, y[0, 0])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_treat_each_sequence_as_if_it_were_alone(bidirectional: bool) -> None:
    layer = make("lstm", 3, 5, num_layers=2, bidirectional=bidirectional)
    lengths = [2, 5, 1, 4]
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    y, states = layer(x, lengths=lengths)
    for example, length in enumerate(lengths):
        alone, its_states = layer(x[:length, example : example + 1])
        torch.testing.assert_close(y[:length, example], alone[:, 0])
        assert (y[length:, example] == 0).all()
        for state, own in zip(states, its_states, strict=True):
            torch.testing.assert_close(state[:, example], own[:, 0])


def test_padding_that_is_not_a_number_reaches_neither_values_nor_gradients() -> None:
    layer = make("lstm", 3, 5, bidirectional=True)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    clean = x.clone()
    x[2:, 0] = float("nan")
    results = []
    for stream in (x, clean):
        layer.zero_grad()
        y, _ = layer(stream, lengths=torch.tensor([2, 4]))
        y.sin().sum().backward()
        results.append([y, *(p.grad for p in layer.parameters())])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("ordered", [True, False], ids=["sorted", "unsorted"])
def test_packed_sequences_match_torch(ordered: bool) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(3, 5, 2, bidirectional=True, dtype=torch.float64)
    ours = rnndsl.from_torch(theirs)
    lengths = [5, 3, 3, 1] if ordered else [3, 1, 5, 3]
    sequences = [torch.randn(n, 3, dtype=torch.float64) for n in lengths]
    packed = pack_sequence(sequences, enforce_sorted=ordered)
    start = tuple(torch.randn(4, 4, 5, dtype=torch.float64) for _ in "hc")
    y, states = ours(packed, start)
    z, others = theirs(packed, start)
    assert isinstance(y, PackedSequence)
    torch.testing.assert_close(y.data, z.data)
    torch.testing.assert_close(y.batch_sizes, z.batch_sizes)
    assert (y.sorted_indices is None) == (z.sorted_indices is None)
    torch.testing.assert_close(states, others)


def test_a_packed_batch_first_input_is_taken_as_it_is() -> None:
    torch.manual_seed(0)
    theirs = torch.nn.GRU(3, 5, batch_first=True, dtype=torch.float64)
    padded = torch.randn(2, 4, 3, dtype=torch.float64)
    packed = pack_padded_sequence(padded, torch.tensor([4, 2]), batch_first=True)
    y, _ = rnndsl.from_torch(theirs)(packed)
    torch.testing.assert_close(y.data, theirs(packed)[0].data)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", LEARNED])
def test_a_restart_separates_what_was_joined(cell: str, bidirectional: bool) -> None:
    layer = make(cell, 3, 5, bidirectional=bidirectional)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[4] = True
    y, _ = layer(x, reset=reset)
    first, _ = layer(x[:4])
    second, _ = layer(x[4:])
    torch.testing.assert_close(y, torch.cat([first, second]))


def test_a_restart_at_the_first_step_drops_the_given_states() -> None:
    layer = make(LEARNED, 3, 5)
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    reset = torch.tensor([[True, False], [False, False], [False, False]])
    given = torch.randn(1, 2, 5, dtype=torch.float64)
    y, _ = layer(x, given, reset=reset)
    torch.testing.assert_close(y[:, 0], layer(x)[0][:, 0])
    torch.testing.assert_close(y[:, 1], layer(x, given)[0][:, 1])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_restart_flags_in_the_padding_do_nothing(bidirectional: bool) -> None:
    layer = make(LEARNED, 3, 5, bidirectional=bidirectional)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    given = torch.randn(1 + bidirectional, 2, 5, dtype=torch.float64)
    reset = torch.zeros(5, 2, dtype=torch.bool)
    reset[3:, 0] = True
    y, final = layer(x, given, lengths=[3, 5], reset=reset)
    alone, final_alone = layer(x[:3, :1], given[:, :1])
    torch.testing.assert_close(y[:3, :1], alone)
    torch.testing.assert_close(final[:, :1], final_alone)


def test_gradients_with_lengths_and_restarts_are_right() -> None:
    layer = make(LEARNED, 2, 3, bidirectional=True)
    reset = torch.zeros(4, 2, dtype=torch.bool)
    reset[2, 1] = True
    names, params = zip(*layer.named_parameters(), strict=True)

    def function(x: torch.Tensor, *values: torch.Tensor) -> Any:
        arguments = {"lengths": torch.tensor([4, 3]), "reset": reset}
        swapped = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, swapped, (x,), arguments)[0]

    x = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, *params))


def test_taps_return_inner_values_of_each_layer() -> None:
    layer = make("lstm", 3, 5, num_layers=2, batch_first=True)
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    y, (_, c), values = layer(x, taps=("i", "c'", "x"))
    assert len(values) == 2
    assert set(values[0]) == {"i", "c'", "x"}
    assert values[1]["i"].shape == (2, 4, 5)
    torch.testing.assert_close(values[0]["x"], x)
    torch.testing.assert_close(values[1]["c'"][:, -1], c[1])
    plain, _ = layer(x)
    torch.testing.assert_close(plain, y)


def test_taps_carry_gradients() -> None:
    layer = make("lstm", 3, 5)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    gate = layer(x, taps=("i",))[2][0]["i"]
    gate.sum().backward()
    for name in ("i.x.weight", "o.x.weight"):  # the latter through the state
        gradient = layer.first.tensor(name).grad
        assert gradient is not None and gradient.abs().sum() > 0


def test_dropout_acts_between_layers_in_training_only() -> None:
    layer = make("gru", 3, 5, num_layers=2, dropout=0.5)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 2, 7), "input `x` has size 7 along its last axis, expected 3"),
        ((4,), "input `x` has 1 axes, expected 2 or 3"),
        ((0, 2, 3), "input `x` is empty: its T has size 0"),
        ((4, 0, 3), "input `x` is empty: its B has size 0"),
    ],
)
def test_a_wrong_input_shape_is_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(LayerInputError, match="error") as caught:
        make("lstm", 3, 5)(torch.zeros(shape, dtype=torch.float64))
    assert message in str(caught.value)


def packed(stream: torch.Tensor, *lengths: int) -> PackedSequence:
    return pack_padded_sequence(stream, torch.tensor(lengths))


def test_other_wrong_arguments_are_named() -> None:
    layer = make(PAIRED, 3, 5)
    x, time = random_inputs(layer, 4, 2).values()
    h, seen = torch.zeros(1, 2, 5).double(), torch.zeros(1, 2).double()
    ragged = nested_tensor([x[:, 0], x[:2, 1]], layout=torch.jagged)
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: layer(x), "input `time` is missing"),
        (lambda: layer(x, tim=time), "the cell has no input `tim`"),
        (lambda: layer(x, time=time[:3]), "input `time` has size 3 along T, expected 4"),
        (lambda: layer(x.float(), time=time), "input `x` is torch.float32"),
        (lambda: layer(x.to("meta"), time=time), "input `x` is on meta"),
        (lambda: layer(x, h, time=time), "1 states given, expected 2: h, seen"),
        (lambda: layer(x, (h[:, :1], seen), time=time), "state `h` has size 1 along B, expected 2"),
        (lambda: layer(x, (h, seen[0]), time=time), "state `seen` has 1 axes, expected 2"),
        (lambda: layer(x, time=time, lengths=[4]), "lengths must be 2 whole numbers"),
        (lambda: layer(x, time=time, lengths=[4, 5]), "from 1 to 4"),
        (lambda: layer(x, time=time, reset=time[:2] > 0), "reset has size 2 along T, expected 4"),
        (lambda: layer(x, time=time, taps=("gg",)), "no inner value `gg`"),
        (lambda: make("gru", 3, 5, bidirectional=True).step(x[0]), "has no step"),
        (lambda: layer(x.to_sparse(), time=time), "input `x` must be a dense tensor"),
        (lambda: make("gru", 3, 5)(x.to_sparse()), "input `x` must be a dense tensor"),
        (lambda: make("gru", 3, 5)(ragged), "input `x` must be a dense tensor, not a nested one"),
        (lambda: layer(x.tolist(), time=time), "input `x` must be a tensor, not a list"),
        (lambda: layer.step(cast(Any, x[0].numpy())), "input `x` must be a tensor, not a ndarray"),
        (lambda: layer(x, 3, time=time), "state must be a tensor or a tuple of tensors"),
        (lambda: layer(x, (h, None), time=time), "state `seen` must be a tensor"),
        (lambda: layer(x, time=time, lengths="ab"), "lengths must be 2 whole numbers"),
        (lambda: layer(x, time=time, reset=[[0, 1]] * 4), "reset must be a tensor, not a list"),
        (lambda: layer(x, time=time, taps=3), "taps must be a tuple of names"),
        (lambda: layer(x, time=time, taps=("h'", "h'")), "taps must be different names"),
        (lambda: layer(x, time=time, taps=cast(Any, [1])), "taps must be different names"),
        (lambda: layer(pack_sequence([x[:, 0, :2]]), time=time), "expected 3"),
        (lambda: layer(packed(x, 4, 2), time=packed(time, 4, 3)), "packed with other lengths"),
    ]
    for wrong, message in cases:
        with pytest.raises(LayerInputError) as caught:
            wrong()
        assert message in str(caught.value)


def test_an_input_that_is_negated_where_it_is_read_is_taken_as_it_reads() -> None:
    x = torch.complex(torch.ones(1, 1, 1), torch.full((1, 1, 1), 0.7)).conj().imag
    assert x.is_neg() and x.is_contiguous()
    layer = rnndsl.layer("elman", 1, 4)
    assert torch.equal(layer(x)[0], layer(torch.full((1, 1, 1), -0.7))[0])
