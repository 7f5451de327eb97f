"""Random cells whose recurrences are linear and contract, of every class and structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.cells.random_cells import streams

Choose = Callable[..., str]


def affine_cell(kind: str, seed: int) -> str:
    """The text of a file with one cell over D and H, a function of its arguments alone.

    ``kind`` is one of :data:`KINDS`.  Factors stay within (-1, 1).  What does not recur is
    drawn from the language as in random cells: vectors u, r and the gate f of the input.
    """
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])

    def choose(*options: str) -> str:
        return options[int(rng.integers(len(options)))]

    declared, equations, result = KINDS[kind](choose)
    free, (u, r, g) = streams(rng, 3)
    lines = ["input x: [D]", *declared, *free, f"u = {u}", f"r = {r}", f"f = sigmoid({g})"]
    lines += [*equations, f"return {result}"]
    return "cell Affine(D, H, K = 3):\n" + "".join(f"    {line}\n" for line in lines)


Parts = tuple[list[str], list[str], str]


def _diagonal(choose: Choose) -> Parts:
    """One factor for each element, of parameters alone."""
    factor = choose("tanh(a)", "sigmoid(a)", "-0.5 * sigmoid(a)")
    update = choose(f"{factor} * h + u", f"h * ({factor}) - u", f"(h + u) * ({factor})")
    declared = [f"state h: [H]{choose('', ' = 0.5')}", "param a: [H] = normal(0, 1)"]
    return declared, [f"h' = {update}"], choose("h'", "h", "tanh(h') * r", "h' + h")


def _dense(choose: Choose) -> Parts:
    """A matrix of parameters."""
    declared = ["state h: [H]", "param A: [H, H] = uniform(-1, 1)"]
    equations = ["P = 0.9 / H * tanh(A)", f"h' = {choose('P @ h', 'h @ P')} + u"]
    return declared, equations, choose("h'", "h", "r * h'")


def _memory(choose: Choose) -> Parts:
    """A matrix of parameters along one axis, fed with a vector of parameters."""
    declared = ["state S: [H, K]", "param A: [K, K] = uniform(-1, 1)", "param b: [K] = normal"]
    equations = [
        "P = 0.9 / K * tanh(A)",
        'S\' = einsum("ij,hj->hi", P, S) + outer(u, b)',
        f"y = sum({choose(chr(83) + chr(39), 'S')}, axis = 1)",
    ]
    return declared, equations, choose("y", "tanh(y) * r")


def _gated(choose: Choose) -> Parts:
    """One factor for each element, of the input."""
    update = choose("f * h + (1 - f) * u", "(1 - f) * h + u", "lerp(h, u, f)", "f * (h - u)")
    declared = [f"state h: [H]{choose('', ' = 0.5')}"]
    return declared, [f"h' = {update}"], choose("h'", "h", "tanh(h') * r")


def _chosen(choose: Choose) -> Parts:
    """A factor that is chosen, and is 0 at times."""
    update = choose("where(u > 0, f * h, u)", "where(f > 0.4, h, 0 * u) * f + r")
    return ["state h: [H]"], [f"h' = {update}"], choose("h'", "h + r")


def _peak(choose: Choose) -> Parts:
    """A running maximum, and averages with its weights."""
    declared = [f"state {s}: [H]" for s in "ab"] + [f"state m: [H]{choose('', ' = -inf')}"]
    decay = choose("m", "m + logsigmoid(r)")
    equations = [
        f"m' = max({decay}, u)",
        f"keep = exp({decay} - m')",
        "write = exp(u - m')",
        "a' = keep * a + write * r",
        "b' = keep * b + write",
    ]
    return declared, equations, choose("a' / b'", "f * a' / b'")


def _matrix(choose: Choose) -> Parts:
    """A matrix with an outer product, and factors for it, its rows or its columns."""
    factor = choose(
        "S",
        "0.9 * S",
        "sigmoid(c) * S",
        "mean(f) * S",
        "exp(-mean(f)) * S",
        "broadcast[H, K](f, axis = 0) * S",
        "broadcast[H, K](sigmoid(w), axis = 1) * S",
        "broadcast[H, K](sigmoid(e), axis = 1) * S",
    )
    state = choose("S'", "S")
    read = choose(f"{state} @ w", f'einsum("hk,k->h", {state}, w) * r', f"{state} @ e")
    declared = ["state S: [H, K]", "param c: []", "param e: [K] = normal(0, 1)"]
    equations = [
        "w = linear[K](x)",
        f"S' = {factor} {choose('+', '-')} outer({choose('u', 'f')}, w)",
        f"y = {read}",
        f"z = {choose('f', 'r')} @ {state}",
    ]
    return declared, equations, choose("y", "y + r", "concat(y, z)")


def _delta(choose: Choose) -> Parts:
    """A matrix that is read under a key before it is written there."""
    factor = choose("S", "mean(f) * S", "broadcast[H, K](f, axis = 0) * S")
    change = choose("w - key @ S", "0.5 * (w - key @ S)", "mean(f) * (w - key @ S)")
    declared = ["state S: [H, K]"]
    equations = [
        "w = linear[K](x)",
        f"key = {choose('l2_normalize(u)', '0.4 * u')}",
        f"S' = {factor} + outer(key, {change})",
    ]
    return declared, equations, choose("r @ S'", "r @ S")


def _series(choose: Choose) -> Parts:
    """A recurrence that reads another."""
    declared = ["state h: [H]", "state c: [H]", "state S: [H, K]"]
    equations = [
        "w = linear[K](x)",
        "h' = f * h + (1 - f) * u",
        f"S' = 0.8 * S + outer({choose(chr(104) + chr(39), 'h')}, w)",
        "c' = sigmoid(h') * c + S' @ w",
    ]
    return declared, equations, choose("c'", "c + h'")


KINDS: Mapping[str, Callable[[Choose], Parts]] = {
    function.__name__.strip("_"): function
    for function in (_diagonal, _dense, _memory, _gated, _chosen, _peak, _matrix, _delta, _series)
}
