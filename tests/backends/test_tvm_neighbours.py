"""Axes that lie in one piece are found, and only those."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

pytest.importorskip("tvm", reason="TVM is not installed")

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.accesses import counted
from rnndsl.backends.tvm.buffers import Buffer, argument
from rnndsl.backends.tvm.lower_views import regroup
from rnndsl.backends.tvm.neighbours import in_one_piece
from rnndsl.backends.tvm.tir_types import Expr

SIZES = (3, 4, 5)


def buffer(*shape: int) -> Buffer:
    found, _, _ = argument("values", shape, "float32", 4)
    return found


def axes(*bodies: object) -> int:
    """Of SIZES, for a body that does all of this with its indices."""

    def body(at: Sequence[Expr]) -> None:
        for each in bodies:
            each(at)  # type: ignore[operator]

    with tir.analysis():
        return in_one_piece(body, SIZES)


def test_a_whole_array_is_one_piece() -> None:
    whole = buffer(*SIZES)
    assert axes(lambda at: tir.load(whole, at)) == 3


def test_a_part_of_an_axis_ends_a_piece() -> None:
    wider = buffer(3, 9, 5)
    assert axes(lambda at: tir.load(wider, at)) == 2


def test_the_least_of_all_accesses_counts() -> None:
    whole, repeated = buffer(*SIZES), buffer(3, 5)
    both = lambda at: tir.load(repeated, (at[0], at[2]))
    assert axes(lambda at: tir.load(whole, at), both) == 1


def test_a_repeated_number_is_one_piece() -> None:
    whole, number = buffer(*SIZES), buffer(3)
    assert axes(lambda at: tir.load(whole, at), lambda at: tir.load(number, at[:1])) == 2


def test_another_order_is_none() -> None:
    turned = buffer(3, 5, 4)
    assert axes(lambda at: tir.load(turned, (at[0], at[2], at[1]))) == 1


def test_a_reshaped_array_is_one_piece_where_it_is_simple() -> None:
    flat, other = buffer(60), buffer(3, 2, 10)
    assert axes(lambda at: tir.load(flat, regroup(tuple(at), SIZES, (60,)))) == 3
    assert axes(lambda at: tir.load(other, regroup(tuple(at), SIZES, (3, 2, 10)))) == 1


def test_an_index_that_is_computed_with_is_an_axis() -> None:
    whole = buffer(*SIZES)
    assert axes(lambda at: tir.load(whole, at), lambda at: counted()) == 1
