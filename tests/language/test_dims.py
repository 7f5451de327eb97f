"""Named dimensions behave like lengths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnndsl.dims import Dim, DimError, dim

NAMES = ("D", "H", "N")


@st.composite
def dims(draw: st.DrawFn) -> Dim:
    made = dim(draw(st.integers(-3, 3)))
    for _ in range(draw(st.integers(0, 3))):
        other = dim(draw(st.sampled_from(NAMES))) * dim(draw(st.integers(-3, 3)))
        made = made + other if draw(st.booleans()) else made * (other + dim(1))
    return made


@given(dims(), dims(), dims())
def test_arithmetic_obeys_the_laws_of_a_ring(a: Dim, b: Dim, c: Dim) -> None:
    assert a + b == b + a
    assert a * (b + c) == a * b + a * c
    assert a - a == dim(0)


@given(dims(), dims(), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_binding_commutes_with_arithmetic(a: Dim, b: Dim, d: int, h: int, n: int) -> None:
    sizes = {"D": d, "H": h, "N": n}
    assert int((a * b).bind(sizes)) == int(a.bind(sizes)) * int(b.bind(sizes))
    assert int((a + b).bind(sizes)) == int(a.bind(sizes)) + int(b.bind(sizes))


def test_a_quotient_is_exact_or_an_error() -> None:
    heads = dim("H") / dim("N")
    assert int(heads.bind({"H": 12, "N": 3})) == 4
    assert heads * dim("N") == dim("H")
    with pytest.raises(DimError, match="whole number"):
        int(heads.bind({"H": 10, "N": 3}))
    with pytest.raises(DimError):
        dim("H") / (dim("N") + dim(1))


def test_an_unbound_dimension_has_no_value() -> None:
    with pytest.raises(DimError, match="H is not bound"):
        int(dim("H"))


def test_dimensions_print_as_they_are_written() -> None:
    assert str(dim(4) * dim("H")) == "4*H"
    assert str(dim("D") + dim("H")) == "D + H"
    assert str(dim("H") - dim(1)) == "H - 1"
    assert str(dim("H") / dim("N")) == "H/N"
