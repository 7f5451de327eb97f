"""Every function of the language computes its meaning: small cells against NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rnndsl.cell import check, parse
from rnndsl.checking.builtins import BUILTINS
from rnndsl.compiler.interpreter import run_step
from rnndsl.compiler.lower import lower
from rnndsl.compiler.lower_functions import LOWERINGS

Array = NDArray[np.float64]
SIZES = {"H": 6, "N": 3}
RNG = np.random.default_rng(5)
# v and w are vectors, M is a matrix, s is a scalar, all of one example.
V, W, M, S = RNG.normal(size=6), RNG.normal(size=6), RNG.normal(size=(3, 6)), 0.75


def evaluate(expression: str, shape: str) -> Array:
    """The value of an expression of the inputs v, w, M, s, of the shape that is written."""
    cell = parse(
        "cell Try(H, N):\n    input v: [H]\n    input w: [H]\n    input M: [N, H]\n"
        "    input s: []\n"
        f"    y = {expression}\n    z = zeros[{shape or 1}]()\n"
        f"    return y + {'sum(z)' if not shape else 'z'} + 0 * (sum(v) + sum(w) + sum(M) + s)\n"
    )
    graph = lower(cell).graph.bind(SIZES)
    leaves = {"v": V[None], "w": W[None], "M": M[None], "s": np.array([S])}
    return np.asarray(run_step(graph, leaves)["output.y"][0])


def sigma(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


def softmax(v: Array, axis: int = -1) -> Array:
    e = np.exp(v - v.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


ERF = np.vectorize(math.erf)
A, L = 1.6732632423543772, 1.0507009873554805

CASES: tuple[tuple[str, str, Callable[[], object]], ...] = (
    ("v + w", "H", lambda: V + W),
    ("v - s", "H", lambda: V - S),
    ("2 * v", "H", lambda: 2 * V),
    ("M / s", "N, H", lambda: M / S),
    ("abs(v) ** 1.5", "H", lambda: abs(V) ** 1.5),
    ("M @ v", "N", lambda: M @ V),
    ("M @ transpose(M)", "N, N", lambda: M @ M.T),
    ("slice(v, 0, N) @ M", "H", lambda: V[:3] @ M),
    ("v < w", "H", lambda: V < W),
    ("v <= 0", "H", lambda: V <= 0),
    ("v > w", "H", lambda: V > W),
    ("v >= 0", "H", lambda: V >= 0),
    ("v == v", "H", lambda: np.ones(6)),
    ("v != w", "H", lambda: V != W),
    ("-v", "H", lambda: -V),
    ("neg(v)", "H", lambda: -V),
    ("sigmoid(v)", "H", lambda: sigma(V)),
    ("tanh(v)", "H", lambda: np.tanh(V)),
    ("relu(v)", "H", lambda: np.maximum(V, 0)),
    ("leaky_relu(v)", "H", lambda: np.where(V > 0, V, 0.01 * V)),
    ("leaky_relu(v, slope = 0.2)", "H", lambda: np.where(V > 0, V, 0.2 * V)),
    ("prelu(v, w)", "H", lambda: np.where(V > 0, V, W * V)),
    ("elu(v)", "H", lambda: np.where(V > 0, V, np.expm1(V))),
    ("elu(v, alpha = 2)", "H", lambda: np.where(V > 0, V, 2 * np.expm1(V))),
    ("selu(v)", "H", lambda: L * np.where(V > 0, V, A * np.expm1(V))),
    ("silu(v)", "H", lambda: V * sigma(V)),
    ("swish(v, beta = w)", "H", lambda: V * sigma(W * V)),
    ("gelu(v)", "H", lambda: V * 0.5 * (1 + ERF(V / np.sqrt(2)))),
    ("softplus(v)", "H", lambda: np.log1p(np.exp(V))),
    ("hard_sigmoid(2 * v)", "H", lambda: np.clip(V / 3 + 0.5, 0, 1)),
    ("hard_sigmoid(v, slope = 0.5)", "H", lambda: np.clip(V / 2 + 0.5, 0, 1)),
    ("exp(v)", "H", lambda: np.exp(V)),
    ("log(abs(v))", "H", lambda: np.log(abs(V))),
    ("log1p(abs(v))", "H", lambda: np.log1p(abs(V))),
    ("logsigmoid(v)", "H", lambda: np.log(sigma(V))),
    ("sqrt(abs(v))", "H", lambda: np.sqrt(abs(V))),
    ("rsqrt(abs(v))", "H", lambda: 1 / np.sqrt(abs(V))),
    ("abs(v)", "H", lambda: abs(V)),
    ("sign(v)", "H", lambda: np.sign(V)),
    ("sin(v)", "H", lambda: np.sin(V)),
    ("cos(v)", "H", lambda: np.cos(V)),
    ("erf(v)", "H", lambda: ERF(V)),
    ("floor(3 * v)", "H", lambda: np.floor(3 * V)),
    ("round(3 * v)", "H", lambda: np.round(3 * V)),
    ("step(v)", "H", lambda: V > 0),
    ("min(v, w)", "H", lambda: np.minimum(V, W)),
    ("max(v, 0.1)", "H", lambda: np.maximum(V, 0.1)),
    ("max(v)", "", lambda: V.max()),
    ("min(M, axis = 0)", "H", lambda: M.min(0)),
    ("max_of(M, axis = 1)", "N", lambda: M.max(1)),
    ("min_of(M)", "", lambda: M.min()),
    ("pow(abs(v), w)", "H", lambda: abs(V) ** W),
    ("mod(v, 0.3)", "H", lambda: np.mod(V, 0.3)),
    ("where(v > 0, v, w)", "H", lambda: np.where(V > 0, V, W)),
    ("where(v > 0, 1, 2)", "H", lambda: np.where(V > 0, 1, 2)),
    ("lerp(v, w, s)", "H", lambda: V + S * (W - V)),
    ("gate3(v, w, s)", "H", lambda: sigma(np.array(S)) * V + (1 - sigma(np.array(S))) * W),
    ("clip(v, -0.5, 0.5)", "H", lambda: np.clip(V, -0.5, 0.5)),
    ("modrelu(v, -0.2)", "H", lambda: np.sign(V) * np.maximum(abs(V) - 0.2, 0)),
    ("sum(M)", "", lambda: M.sum()),
    ("sum(M, axis = -1)", "N", lambda: M.sum(-1)),
    ("mean(M, axis = 0)", "H", lambda: M.mean(0)),
    ("mean(v)", "", lambda: V.mean()),
    ("var(M)", "", lambda: M.var()),
    ("var(M, axis = 1)", "N", lambda: M.var(1)),
    ("norm(M, axis = 0)", "H", lambda: np.linalg.norm(M, axis=0)),
    ("logsumexp(M, axis = 0)", "H", lambda: np.log(np.exp(M).sum(0))),
    (
        "logsumexp(1000 * v)",
        "",
        lambda: 1000 * V.max() + np.log(np.exp(1000 * (V - V.max())).sum()),
    ),
    ("argmax(M, axis = 1)", "N", lambda: M.argmax(1)),
    ("softmax(M)", "N, H", lambda: softmax(M)),
    ("softmax(1000 * M, axis = 0)", "N, H", lambda: softmax(1000 * M, 0)),
    ("cumsum(M, axis = 0)", "N, H", lambda: M.cumsum(0)),
    ("cumsum(v, reverse = true)", "H", lambda: V[::-1].cumsum()[::-1]),
    ("cummax(v)", "H", lambda: np.maximum.accumulate(V)),
    ("l2_normalize(M)", "N, H", lambda: M / np.linalg.norm(M, axis=1, keepdims=True)),
    ("l2_normalize(0 * v)", "H", lambda: np.zeros(6)),
    ("dot(v, w)", "", lambda: V @ W),
    ("dot(M, M)", "N", lambda: (M * M).sum(1)),
    ("cosine(v, w)", "", lambda: V @ W / np.linalg.norm(V) / np.linalg.norm(W)),
    ("outer(v, w)", "H, H", lambda: np.outer(V, W)),
    ('einsum("nh,h->n", M, v)', "N", lambda: M @ V),
    ('einsum("nh->hn", M)', "H, N", lambda: M.T),
    ('einsum("nh->h", M)', "H", lambda: M.sum(0)),
    ('einsum("nh,h,mh->nm", M, v, M)', "N, N", lambda: np.einsum("nh,h,mh->nm", M, V, M)),
    ("transpose(M)", "H, N", lambda: M.T),
    (
        "inverse(identity[N, N]() * 2 + ones[N, N]())",
        "N, N",
        lambda: np.linalg.inv(2 * np.eye(3) + 1),
    ),
    ("slice(v, 1, 4)", "3", lambda: V[1:4]),
    ("slice(M, N, H, axis = 1)", "N, H - N", lambda: M[:, 3:]),
    ("slice_update(v, 2, ones[2]())", "H", lambda: np.r_[V[:2], 1, 1, V[4:]]),
    ("slice_update(v, 0, w)", "H", lambda: W),
    ("concat(v, s * w, v)", "3 * H", lambda: np.r_[V, S * W, V]),
    ("concat(M, M, axis = 1)", "N, 2 * H", lambda: np.c_[M, M]),
    ("stack(v, w)", "2, H", lambda: np.stack([V, W])),
    ("reshape[H, N](M)", "H, N", lambda: M.reshape(6, 3)),
    ("broadcast[N, H](v)", "N, H", lambda: np.tile(V, (3, 1))),
    ("broadcast[H, N](v, axis = 0)", "H, N", lambda: np.tile(V[:, None], (1, 3))),
    ("broadcast[N](s)", "N", lambda: np.full(3, S)),
    ("gather(v, 5, 0, 0)", "3", lambda: V[[5, 0, 0]]),
    ("gather(M, 2, 1, axis = 0)", "2, H", lambda: M[[2, 1]]),
    ("roll(v, 2)", "H", lambda: np.roll(V, 2)),
    ("roll(M, -1, axis = 1)", "N, H", lambda: np.roll(M, -1, 1)),
    ("pad(v, 1, 2)", "H + 3", lambda: np.pad(V, (1, 2))),
    ("chunk_sum(v, 2)", "H / 2", lambda: V[:3] + V[3:]),
    ("stop_grad(v)", "H", lambda: V),
    ("ste(round(v), v)", "H", lambda: np.round(V)),
    ("zeros[H]()", "H", lambda: np.zeros(6)),
    ("ones[N, H]()", "N, H", lambda: np.ones((3, 6))),
    ("full[H](s)", "H", lambda: np.full(6, S)),
    ("full[H](2 / 4)", "H", lambda: np.full(6, 0.5)),
    ("identity[N, H]()", "N, H", lambda: np.eye(3, 6)),
    ("iota[N, H](axis = 1)", "N, H", lambda: np.tile(np.arange(6), (3, 1))),
    ("layer_norm(M, scale = none, shift = none)", "N, H", lambda: _standard(M, 1e-5)),
    ("layer_norm(v, eps = 0.1, scale = none, shift = none)", "H", lambda: _standard(V, 0.1)),
    # Numbers and dimensions as values.
    ("v * sqrt(H)", "H", lambda: V * np.sqrt(6)),
    ("v / (H / N)", "H", lambda: V / 2),
    ("v * min(2, 3) ** 2", "H", lambda: V * 4),
    ("M[1]", "H", lambda: M[1]),
    ("M[2][0]", "", lambda: M[2, 0]),
)


def _standard(v: Array, eps: float) -> Array:
    spread = np.sqrt(v.var(-1, keepdims=True) + eps)
    return np.asarray((v - v.mean(-1, keepdims=True)) / spread)


@pytest.mark.parametrize(("expression", "shape", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_a_function_computes_its_meaning(
    expression: str, shape: str, wanted: Callable[[], object]
) -> None:
    found = evaluate(expression, shape)
    np.testing.assert_allclose(found, np.asarray(wanted(), float), rtol=1e-12, atol=1e-12)


def test_every_function_has_a_case() -> None:
    text = "\n".join(expression for expression, _, _ in CASES)
    missing = [
        n
        for n, record in BUILTINS.items()
        if not record.infix and f"{n}(" not in text and f"{n}[" not in text
    ]
    assert missing == ["linear"]  # it makes parameters: tests/language/test_check_params.py


def test_every_function_that_makes_no_parameters_has_a_lowering() -> None:
    wanted = {name for name, record in BUILTINS.items() if not record.makes_params}
    assert wanted <= LOWERINGS.keys()
    assert LOWERINGS.keys() - wanted == {"number", "size", "standardize", "entry"}


STATIC = {
    "mod(7, 3)": 1,
    "mod(-1, 3)": 2,
    "mod(7, 2.5)": 2,
    "pow(2, 3)": 8,
    "sign(-2)": -1,
    "step(0.5)": 1,
    "clip(5, 0, 2)": 2,
    "lerp(1, 5, 0.25)": 2,
    "where(0, 2, 3)": 3,
    "floor(2.5)": 2,
    "round(2.5)": 2,
}


@pytest.mark.parametrize(("expression", "value"), STATIC.items())
def test_a_function_of_numbers_can_decide_before_the_cell_runs(
    expression: str, value: float
) -> None:
    text = f"cell Try(H):\n    input v: [H]\n    return 2 * v if {expression} == {value} else v\n"
    graph = lower(parse(text)).graph.bind({"H": 6})
    np.testing.assert_array_equal(run_step(graph, {"v": V[None]})["output.y"][0], 2 * V)


def test_a_remainder_of_zero_is_no_number() -> None:
    text = "cell Try(H):\n    input v: [H]\n    return v * mod(1, 0)\n"
    assert [mistake.code for mistake in check(text)] == ["E0216"]
