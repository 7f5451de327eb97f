"""Names, shapes and initial values of the parameters that a cell makes."""

from __future__ import annotations

import numpy as np
import pytest

from rnndsl.cell import parse
from rnndsl.checking.inits import INITS
from rnndsl.compiler.initializers import (
    INITIALIZERS,
    count_parameters,
    initial_array,
    initialize,
)
from rnndsl.compiler.lower import Lowered, lower
from rnndsl.dims import dim
from rnndsl.params import Init, ParamSpec


def lowered(body: str, header: str = "Try(D, H)") -> Lowered:
    """A cell with input x [D] and state h [H], which ends in `return h'`."""
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    text = f"cell {header}:\n    input x: [D]\n    state h: [H]\n{lines}    return h'\n"
    return lower(parse(text))


def names(made: Lowered) -> list[str]:
    return [spec.name for spec in made.params]


def test_parameters_are_named_after_target_and_operand() -> None:
    made = lowered("i = linear[H](x, h)\nh' = i")
    assert [(s.name, tuple(map(str, s.shape))) for s in made.params] == [
        ("i.x.weight", ("H", "D")),
        ("i.h.weight", ("H", "H")),
        ("i.bias", ("H",)),
    ]


def test_a_prime_is_dropped_from_names() -> None:
    made = lowered("h' = linear[H](x)")
    assert names(made) == ["h.x.weight", "h.bias"]


def test_operands_that_are_no_names_are_called_by_position() -> None:
    made = lowered("h' = linear[H](x, 2 * h, x)")
    assert names(made) == ["h.x.weight", "h.in1.weight", "h.in2.weight", "h.bias"]


def test_an_omitted_operand_leaves_the_other_names_alone() -> None:
    body = "y = h\nfor l in 0..2:\n    y = linear[H](x if l == 0, tanh(y))\nh' = y"
    assert names(lowered(body)) == [
        "y.0.x.weight",
        "y.0.in1.weight",
        "y.0.bias",
        "y.1.in1.weight",
        "y.1.bias",
    ]


def test_iterations_of_nested_loops_follow_the_target() -> None:
    body = "y = h\nfor a in 0..2:\n    for b in 1..3:\n        y = linear[H](y, bias = none)\nh' = y + linear[H](x, name = z)"
    found = names(lowered(body))
    assert found[:4] == [f"y.{a}.{b}.y.weight" for a in (0, 1) for b in (1, 2)]


def test_the_name_option_replaces_the_target() -> None:
    made = lowered("h' = linear[H](x) + linear[H](h, name = u, bias = none)")
    assert names(made) == ["h.x.weight", "h.bias", "u.h.weight"]


def test_an_edit_elsewhere_keeps_names() -> None:
    before = names(lowered("i = linear[H](x)\nh' = i"))
    after = names(lowered("j = linear[H](h)\ni = linear[H](x)\nh' = i * j"))
    assert set(before) < set(after)


def test_sub_cell_parameters_get_the_target_as_prefix() -> None:
    made = lowered("k = GRU(D, H)(x)\nh' = k + h")
    assert all(name.startswith("k.") for name in names(made))
    assert "k.r.x.weight" in names(made)


def test_layer_norm_makes_gamma_and_beta_of_the_values_shape() -> None:
    made = lowered(
        "v = reshape[2, H](concat(h, h))\na = layer_norm(v)\nh' = sum(a, axis = 0) + linear[H](x)"
    )
    specs = {s.name: s for s in made.params}
    assert specs["a.gamma"].shape == (dim(2), dim("H"))
    assert specs["a.gamma"].init == Init("ones")
    assert specs["a.beta"].init == Init("zeros")


def test_options_leave_out_and_start_parameters() -> None:
    made = lowered(
        "a = layer_norm(linear[H](x, bias = -2, init = orthogonal), shift = none, scale = 0.1)\nh' = a + h"
    )
    inits = {s.name: s.init for s in made.params}
    assert inits == {
        "a.x.weight": Init("orthogonal", (1.0,)),
        "a.bias": Init("constant", (-2.0,)),
        "a.gamma": Init("constant", (0.1,)),
    }


def test_linear_acts_on_the_last_axis() -> None:
    made = lowered(
        "v = reshape[2, H](concat(h, h))\na = linear[D](v)\nh' = linear[H](x + sum(a, axis = 0))"
    )
    weight = next(s for s in made.params if s.name == "a.v.weight")
    assert weight.shape == (dim("D"), dim("H"))


def test_frozen_parameters_are_not_trainable() -> None:
    made = lowered("param W: [H, D] = normal(0, 1) frozen\nh' = W @ x")
    assert [s.trainable for s in made.params] == [False]
    assert count_parameters(made.params, {"D": 3, "H": 4}) == 12
    assert count_parameters(made.params, {"D": 3, "H": 4}, trainable_only=True) == 0


def test_a_learned_initial_state_is_a_shared_result() -> None:
    made = lowered("param h0: [D] = ones\nstate c: [D] = 2 * h0\nc' = c + x\nh' = h")
    value = next(r.value for r in made.graph.results if r.name == "init.c")
    assert not made.graph.type_of(value).batched


# ------------------------------------------------------------------------ initial values


def spec(init: Init, shape: tuple[int, ...], hidden: int | None = None) -> ParamSpec:
    size = None if hidden is None else dim(hidden)
    return ParamSpec("w", tuple(dim(s) for s in shape), init, True, size)


def array(name: str, shape: tuple[int, ...], *args: float) -> np.ndarray:
    return initial_array(spec(Init(name, args), shape, 16), {}, 3)


def test_the_default_is_uniform_within_one_over_the_root_of_hidden() -> None:
    found = array("default_uniform", (200, 50))
    assert abs(found).max() <= 0.25
    assert abs(found).max() > 0.24
    assert abs(found.mean()) < 0.01


def test_the_default_falls_back_on_the_last_axis() -> None:
    found = initial_array(spec(Init("default_uniform"), (50, 400)), {}, 0)
    assert 0.049 < abs(found).max() <= 0.05


def test_the_hidden_size_of_a_sub_cell_is_its_own() -> None:
    made = lowered("k = LSTM(D, 9)(x)\nh' = linear[H](k)")
    hidden = {s.name: s.hidden for s in made.params}
    assert hidden["k.i.x.weight"] == dim(9)
    assert hidden["h.k.weight"] == dim("H")


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3)])
def test_orthogonal_has_orthonormal_rows_or_columns(shape: tuple[int, int]) -> None:
    found = array("orthogonal", shape, 2.0)
    small = found @ found.T if shape[0] <= shape[1] else found.T @ found
    np.testing.assert_allclose(small, 4 * np.eye(min(shape)), atol=1e-12)


def test_block_orthogonal_is_orthogonal_in_each_block() -> None:
    found = array("block_orthogonal", (8, 4), 2.0, 1.0)
    for block in (found[:4], found[4:]):
        np.testing.assert_allclose(block @ block.T, np.eye(4), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "args", "variance"),
    [
        ("xavier_uniform", (1.0,), 2 / 400),
        ("xavier_normal", (1.0,), 2 / 400),
        ("kaiming_uniform", (2.0**0.5,), 2 / 300),
        ("kaiming_normal", (1.0,), 1 / 300),
        ("lecun_uniform", (), 1 / 300),
        ("lecun_normal", (), 1 / 300),
        ("uniform", (-1.0, 1.0), 1 / 3),
        ("normal", (0.0, 0.5), 0.25),
        ("signs", (), 1.0),
    ],
)
def test_random_initialisers_have_their_variance(
    name: str, args: tuple[float, ...], variance: float
) -> None:
    found = array(name, (100, 300), *args)
    assert found.var() == pytest.approx(variance, rel=0.05)


def test_plain_initialisers_fill_in_their_numbers() -> None:
    np.testing.assert_array_equal(array("constant", (2,), -2.0), [-2, -2])
    np.testing.assert_array_equal(array("identity", (2, 3), 0.5), [[0.5, 0, 0], [0, 0.5, 0]])
    np.testing.assert_array_equal(array("linspace", (4,), 3.0, 6.0), [3, 4, 5, 6])
    found = array("log_uniform", (500,), 1e-3, 0.1)
    assert 1e-3 <= found.min() < 2e-3
    assert 0.05 < found.max() <= 0.1


def test_every_initialiser_has_a_meaning() -> None:
    assert INITIALIZERS.keys() == INITS.keys()


def test_a_seed_gives_the_same_arrays_and_each_parameter_its_own() -> None:
    made = lowered("h' = linear[H](x, h)")
    more = lowered("g = linear[H](x)\nh' = linear[H](x, h) * g")
    sizes = {"D": 3, "H": 3}
    first, again = initialize(made.params, sizes, 5), initialize(made.params, sizes, 5)
    other, larger = initialize(made.params, sizes, 6), initialize(more.params, sizes, 5)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        np.testing.assert_array_equal(first[name], larger[name])
        assert not np.array_equal(first[name], other[name])
    assert not np.array_equal(first["h.x.weight"], first["h.h.weight"])
