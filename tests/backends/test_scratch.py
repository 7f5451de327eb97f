"""Memory for what kernels hold while they run goes from one to the next."""

from __future__ import annotations

import pytest
import torch

import rnndsl
from rnndsl.backends.torch import scratch
from rnndsl.backends.torch.scratch import Scratch, scratch_of


def test_what_was_given_back_is_taken_again() -> None:
    pool = Scratch(torch.float32)
    first = pool.take(100)
    other = pool.take(100)
    assert first.data_ptr() != other.data_ptr()
    pool.give_back(first)
    assert pool.take(80) is first
    assert pool.take(80) is not first


def test_what_is_too_small_makes_room_for_what_is_large_enough() -> None:
    pool = Scratch(torch.float64)
    small = pool.take(10)
    pool.give_back(small)
    large = pool.take(1000)
    assert large.numel() == 1000
    pool.give_back(large)
    assert pool.take(10) is large


def test_no_more_and_no_larger_ones_are_kept_than_there_should_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scratch, "_MOST_BYTES", 4000)
    pool = Scratch(torch.float32)
    usual = [pool.take(1000) for _ in range(scratch._MOST_SPARES + 1)]
    for memory in usual:
        pool.give_back(memory)
    huge = pool.take(1001)
    pool.give_back(huge)
    again = [pool.take(1000) for _ in usual]
    assert sum(any(one is other for other in usual) for one in again) == scratch._MOST_SPARES


def test_layers_of_a_stack_take_the_same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tvm")
    monkeypatch.setattr(scratch_of("float32"), "_spare", [])
    layer = rnndsl.layer("lstm", 4, 4, num_layers=3, backend="tvm")
    layer(torch.randn(5, 2, 4))[0].sum().backward()
    assert len(scratch_of("float32")._spare) == 1
