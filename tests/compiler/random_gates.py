"""Random step graphs in the manner of recurrent cells: gates of sums of products."""

from __future__ import annotations

import numpy as np

from rnndsl.compiler.builder import Builder, shape_of
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from tests.compiler.make import batched, matvec, shared

_UNARY = ("sigmoid", "tanh", "sin", "relu", "erf", "softplus")
_BINARY = ("add", "mul", "sub", "max")


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = Builder()
        self.params = 0

    def word(self, words: tuple[str, ...]) -> str:
        return str(self.rng.choice(words))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def param(self, *sizes: int | str) -> int:
        self.params += 1
        return self.b.leaf(f"p{self.params}", LeafRole.PARAM, shared(*sizes))

    def total(self, terms: list[int]) -> int:
        """The terms added up in some order, in some nesting."""
        terms = list(terms)
        while len(terms) > 1:
            first, second = self.rng.choice(len(terms), 2, replace=False)
            made = self.b.op("add", terms[first], terms[second])
            terms = [t for k, t in enumerate(terms) if k not in (first, second)] + [made]
        return terms[0]

    def normalised(self, value: int) -> int:
        """The value less its mean, divided by its size."""
        b, kind = self.b, self.b.type_of(value)
        mean = b.op("mul", b.op("reduce_sum", value, axis=0), b.full(0.25))
        centred = b.op("sub", value, b.broadcast_like(mean, kind))
        size = b.op("reduce_sum", b.op("mul", centred, centred), axis=0)
        scale = b.op("sqrt", b.op("add", size, b.full(0.5)))
        return b.op("div", centred, b.broadcast_like(scale, kind))


def random_gates(seed: int, width: str | int = "H") -> Graph:
    """A step graph over D and H; a function of its seed alone."""
    m = _Maker(seed)
    b, rng = m.b, m.rng
    x = b.leaf("x", LeafRole.INPUT, batched("D"))
    states = [b.leaf(name, LeafRole.STATE, batched(width)) for name in ("h", "c")]
    plain = [m.word(_UNARY) for _ in range(int(rng.integers(1, 4)))]
    is_normal, with_peephole, with_scale = m.chance(0.3), m.chance(0.3), m.chance(0.3)
    gates = []
    for _ in range(int(rng.integers(2, 6))):
        terms = [matvec(b, m.param(width, width), states[0])]
        if m.chance(0.9):
            terms.append(matvec(b, m.param(width, "D"), x))
        terms += [m.param(width) for _ in range(int(rng.integers(0, 3)))]
        if m.chance(0.3):
            terms.append(b.full(float(rng.integers(3)), shape_of(width)))
        if with_peephole:
            terms.append(b.op("mul", states[1], m.param(width)))
        value = m.total(terms)
        if is_normal:
            value = m.normalised(value)
        if with_scale:
            value = b.op("mul", value, m.param(width))
        gates.append(b.op(plain[int(rng.integers(len(plain)))], value))
    values = [*gates, states[1]]
    made = [b.op(m.word(_BINARY), *map(int, rng.choice(values, 2))) for _ in range(3)]
    last = m.total([*made, values[0]])
    after = [b.op("tanh", last), b.op("tanh", b.op("mul", last, values[-2]))]
    b.result("y", ResultRole.OUTPUT, after[0] if m.chance(0.5) else last)
    if m.chance(0.5):
        b.result("gate", ResultRole.OUTPUT, gates[-1])
    for name, value in zip(("h", "c"), after, strict=True):
        b.result(name, ResultRole.STATE, value)
    return b.finish(f"gates.{seed}")
