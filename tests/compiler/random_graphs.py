"""Random well-typed step graphs: the project's fuzzer.

A graph is a function of its seed alone.  Values stay of moderate size: every value carries a
bound on its magnitude, and what grows too large goes through a squashing function; states
always do.  Domains are kept (logarithms of positive numbers, divisors away from zero).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import AttrValue, Graph, LeafRole, ResultRole, Type
from rnndsl.dims import Dim, dim

_SIZES = (1, 2, 3, 5)
_LARGEST = 6.0  # values above this are squashed
_MOST_ELEMENTS = 80
_SQUASHING = {"tanh": 1.0, "sigmoid": 1.0, "sin": 1.0, "cos": 1.0, "erf": 1.0}
_GROWING: dict[str, Callable[[float], float]] = {
    "neg": lambda m: m,
    "abs": lambda m: m,
    "relu": lambda m: m,
    "stop_grad": lambda m: m,
    "softplus": lambda m: m + 0.7,
    "logsigmoid": lambda m: m + 0.7,
    "exp": math.exp,
}
_JUMPING: dict[str, Callable[[float], float]] = {
    "sign": lambda m: 1.0,
    "step": lambda m: 1.0,
    "floor": lambda m: m + 1,
    "round": lambda m: m + 1,
}
_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
# Specs by the ranks of the operands.
_SPECS = {
    (2, 1): ("ij,j->i", "ij,i->j", "ij,j->ij", "ij,k->ikj", "ij,j->"),
    (1, 1): ("i,j->ij", "i,i->", "i,i->i", "i,j->ji"),
    (2, 2): ("ij,jk->ik", "ij,ij->i", "ij,kj->ik", "ij,ik->jk", "ij,ij->ij"),
    (0, 1): (",i->i",),
    (3, 1): ("ijk,k->ij", "ijk,j->ik"),
}


class _Maker:
    def __init__(self, seed: int, continuous: bool, derived: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = Builder()
        self.bound: dict[int, float] = {}
        self.continuous = continuous
        self.derived = derived
        self.sizes = [int(s) for s in self.rng.choice(_SIZES, 3)]
        self.params = self.named = 0

    # --- picking

    def pick(self, items: object) -> int:
        found = list(items)  # type: ignore[call-overload]
        return found[int(self.rng.integers(len(found)))]  # type: ignore[no-any-return]

    def word(self, items: object) -> str:
        return str(self.pick(items))

    def kind(self, value: int) -> Type:
        return self.b.type_of(value)

    def size(self) -> int:
        return self.sizes[int(self.rng.integers(len(self.sizes)))]

    def shape(self) -> tuple[Dim, ...]:
        rank = int(self.rng.choice((0, 1, 1, 1, 2, 2)))
        return tuple(dim(self.size()) for _ in range(rank))

    def any(self, least_rank: int = 0) -> int | None:
        """A batched value (or a shared one, where derived values are wanted)."""
        found = [
            v
            for v in self.bound
            if self.kind(v).rank >= least_rank and (self.derived or self.kind(v).batched)
        ]
        # Recent values first: graphs get deep.
        if not found:
            return None
        place = min(int(self.rng.exponential(6)), len(found) - 1)
        return found[-1 - place]

    def of_shape(self, shape: tuple[Dim, ...]) -> int:
        """Some value of a shape: one at hand, a parameter or a constant."""
        found = [v for v in self.bound if self.kind(v).shape == shape]
        chance = self.rng.random()
        if found and chance < 0.75:
            return self.pick(found)
        if chance < 0.9 and self.params < 12:
            return self.param(shape)
        return self.full(shape)

    def varying(self, value: int, other: int) -> int:
        """The value, made batched: a step graph has no nodes on parameters alone."""
        if self.derived or self.kind(value).batched or not self.kind(other).batched:
            return value
        bound = self.bound[value] + self.bound[other]
        return self.op("add", value, other, bound=bound)

    # --- making

    def param(self, shape: tuple[Dim, ...]) -> int:
        value = self.b.leaf(f"p{self.params}.weight", LeafRole.PARAM, Type(shape, False))
        self.params += 1
        self.bound[value] = 2.0
        return value

    def full(self, shape: tuple[Dim, ...]) -> int:
        number = float(self.rng.choice((0.0, 1.0, -1.0, 2.0, 0.5, -0.75)))
        return self.note(self.b.full(number, shape), abs(number))

    def note(self, value: int, bound: float) -> int:
        if bound > _LARGEST:
            squash = self.word(("tanh", "sigmoid", "erf"))
            value, bound = self.b.op(squash, value), 1.0
        self.bound[value] = bound
        return value

    def op(self, op: str, *operands: int, bound: float, **attrs: AttrValue) -> int:
        self.named += 1
        name = f"v.{self.named}'" if self.rng.random() < 0.2 else ""
        made = self.b.node(op, operands, tuple(sorted(attrs.items())), name)
        return self.note(made, bound)

    def positive(self, value: int) -> int:
        """Above 1/2: a divisor, or the operand of a logarithm."""
        half = self.b.full(0.5, self.kind(value).shape)
        return self.op("add", self.b.op("abs", value), half, bound=self.bound[value] + 0.5)

    # --- steps; each may decline by doing nothing

    def unary(self) -> None:
        x = self.any()
        if x is None:
            return
        m = self.bound[x]
        table = _GROWING if self.continuous or self.rng.random() < 0.7 else _JUMPING
        if self.rng.random() < 0.5:
            op = self.word(_SQUASHING)
            self.op(op, x, bound=_SQUASHING[op])
        elif self.rng.random() < 0.3:
            self.op(self.word(("log", "sqrt", "log1p")), self.positive(x), bound=1 + math.sqrt(m))
        else:
            op = self.word(table)
            self.op(op, x, bound=table[op](m))

    def binary(self) -> None:
        x = self.any()
        if x is None:
            return
        op = self.word(("add", "sub", "mul", "mul", "div", "max", "min", "pow", "mod", "compare"))
        y = self.of_shape(self.kind(x).shape)
        if op in ("div", "pow", "mod"):  # which compute with y alone
            y = self.varying(y, x)
        m, n = self.bound[x], self.bound[y]
        if self.continuous and op in ("mod", "compare"):
            op = "add"
        if op == "div":
            self.op("div", x, self.positive(y), bound=2 * m)
        elif op == "mod":
            self.op("mod", x, self.positive(y), bound=n + 0.5)
        elif op == "pow":
            self.op("pow", self.positive(x), self.b.op("tanh", y), bound=max(2.0, m + 0.5))
        elif op == "compare":
            self.op(self.word(_COMPARISONS), x, y, bound=1.0)
        else:
            self.op(op, x, y, bound=m * n if op == "mul" else m + n)

    def choose(self) -> None:
        x = self.any()
        if x is None or self.continuous:
            return
        shape = self.kind(x).shape
        y, left = self.of_shape(shape), self.of_shape(shape)
        test = self.b.op(self.word(_COMPARISONS), x, y)
        bound = max(self.bound[x], self.bound[left])
        self.op("where", test, left, x, bound=bound)

    def reduce(self) -> None:
        x = self.any(1)
        if x is None:
            return
        axis = int(self.rng.integers(self.kind(x).rank))
        count, m = self.kind(x).sizes[axis], self.bound[x]
        op = self.word(("reduce_sum", "reduce_max", "cumsum", "cummax", "argmax"))
        if op == "cumsum":
            reverse = bool(self.rng.integers(2))
            self.op(op, x, axis=axis, reverse=reverse, bound=m * count)
        elif op != "argmax" or not self.continuous:
            self.op(op, x, axis=axis, bound=count + m * (count if op == "reduce_sum" else 1))

    def scan(self) -> None:
        x = self.any(1)
        if x is None:
            return
        factor = self.b.op("tanh", self.varying(self.of_shape(self.kind(x).shape), x))
        axis, reverse = int(self.rng.integers(self.kind(x).rank)), bool(self.rng.integers(2))
        count = self.kind(x).sizes[axis]
        op = self.word(("linear_scan", "max_scan"))
        bound = self.bound[x] * count if op == "linear_scan" else self.bound[x] + count
        self.op(op, factor, x, axis=axis, reverse=reverse, bound=bound)

    def spread(self) -> None:
        x = self.any()
        if x is None or self.kind(x).rank > 2:
            return
        axis = int(self.rng.integers(self.kind(x).rank + 1))
        shape = list(self.kind(x).shape)
        shape.insert(axis, dim(self.size()))
        axes = tuple(k for k in range(len(shape)) if k != axis)
        self.op("broadcast", x, shape=tuple(shape), axes=axes, bound=self.bound[x])

    def move(self) -> None:
        x = self.any(1)
        if x is None:
            return
        kind, m = self.kind(x), self.bound[x]
        axis = int(self.rng.integers(kind.rank))
        size = kind.sizes[axis]
        op = self.word(("reshape", "transpose", "slice", "pad", "gather", "scatter_add", "roll"))
        if op == "reshape":
            self.op(op, x, shape=(dim(math.prod(kind.sizes)),), bound=m)
        elif op == "transpose":
            self.op(op, x, perm=tuple(int(k) for k in self.rng.permutation(kind.rank)), bound=m)
        elif op == "slice":
            start = int(self.rng.integers(size))
            stop = int(self.rng.integers(start, size)) + 1
            self.op(op, x, axis=axis, bounds=(dim(start), dim(stop)), bound=m)
        elif op == "pad":
            before, after = (dim(int(k)) for k in self.rng.integers(0, 3, 2))
            self.op(op, x, axis=axis, bounds=(before, after), bound=m)
        elif op == "gather":
            indices = tuple(int(k) for k in self.rng.integers(0, size, 3))
            self.op(op, x, axis=axis, indices=indices, bound=m)
        elif op == "scatter_add":
            length = size + 1
            indices = tuple(int(k) for k in self.rng.integers(0, length, size))
            shape = (*kind.shape[:axis], dim(length), *kind.shape[axis + 1 :])
            self.op(op, x, axis=axis, indices=indices, shape=shape, bound=m * size)
        else:
            self.op(op, x, axis=axis, shift=int(self.rng.integers(-3, 4)), bound=m)

    def join(self) -> None:
        x = self.any(1)
        if x is None:
            return
        axis = int(self.rng.integers(self.kind(x).rank))
        y = self.of_shape(self.kind(x).shape)
        parts = [x, y] if self.rng.random() < 0.5 else [y, x, x]
        self.op("concat", *parts, axis=axis, bound=max(self.bound[x], self.bound[y]))

    def product(self) -> None:
        x = self.any()
        if x is None:
            return
        rank = self.kind(x).rank
        pairs = [pair for pair in _SPECS if rank in pair]
        if not pairs:
            return
        pair = pairs[int(self.rng.integers(len(pairs)))]
        spec = self.word(_SPECS[pair])
        left, right, _ = spec.replace("->", ",").split(",")
        place = pair.index(rank)
        known = dict(zip((left, right)[place], self.kind(x).shape, strict=True))
        other = tuple(known.setdefault(c, dim(self.size())) for c in (left, right)[1 - place])
        y = self.param(other) if self.params < 12 else self.of_shape(other)
        if self.rng.random() < 0.4:
            y = self.of_shape(other)
        operands = (x, y) if place == 0 else (y, x)
        terms = math.prod(int(d) for d in known.values())
        bound = self.bound[x] * self.bound[y] * terms
        self.op("contract", *operands, spec=spec, sum_batch=False, bound=bound)

    def index(self) -> None:
        shape = self.shape()
        if shape:
            axis = int(self.rng.integers(len(shape)))
            value = self.b.op("iota", axis=axis, shape=shape)
            self.note(self.b.op("sin", value) if self.derived else value, 5.0)

    def solve(self) -> None:
        """The inverse of a diagonally dominant shared matrix."""
        if not self.derived:
            return
        n = dim(self.size())
        rows, columns = (self.b.op("iota", axis=axis, shape=(n, n)) for axis in (0, 1))
        eye = self.b.op("mul", self.b.op("eq", rows, columns), self.b.full(8.0, (n, n)))
        matrix = self.b.op("add", eye, self.b.op("tanh", self.param((n, n))))
        self.op("inverse", matrix, bound=1.0)


_STEPS: tuple[tuple[str, float], ...] = (
    ("unary", 0.22), ("binary", 0.26), ("choose", 0.05), ("reduce", 0.08), ("spread", 0.07),
    ("move", 0.12), ("join", 0.05), ("product", 0.12), ("index", 0.01), ("solve", 0.01),
    ("scan", 0.01),
)  # fmt: skip


def random_graph(
    seed: int, size: int = 30, *, continuous: bool = False, derived: bool = False
) -> Graph:
    """A bound step graph of about ``size`` steps with inputs, states, parameters and outputs.

    ``continuous`` leaves out ops that jump (rounding, comparisons, argmax), for tests whose
    two sides round differently.  ``derived`` makes an unseparated graph: it also computes
    with parameters alone and has VALUE results ``init.<state>``.
    """
    maker = _Maker(seed, continuous, derived)
    b, rng = maker.b, maker.rng
    for k in range(int(rng.integers(1, 3))):
        shape = (dim(maker.size()),) if k == 0 else maker.shape()
        maker.bound[b.leaf(f"x{k}", LeafRole.INPUT, Type(shape, True))] = 3.0
    states = []
    for k in range(int(rng.integers(1, 4))):
        state = b.leaf(f"h{k}", LeafRole.STATE, Type(maker.shape(), True))
        maker.bound[state] = 3.0
        states.append(state)
    names, weights = zip(*_STEPS, strict=True)
    for _ in range(size):
        getattr(maker, str(rng.choice(names, p=weights)))()
        large = [v for v in maker.bound if math.prod(maker.kind(v).sizes) > _MOST_ELEMENTS]
        for value in large:
            del maker.bound[value]  # never an operand again
    for k, state in enumerate(states):
        b.result(f"h{k}", ResultRole.STATE, _next_state(maker, state))
        if derived:
            start = maker.b.op("tanh", maker.param(maker.kind(state).shape))
            b.result(f"init.h{k}", ResultRole.VALUE, start)
    outputs = [v for v in maker.bound if maker.kind(v).batched]
    for k in range(int(rng.integers(1, 3))):
        b.result(f"y{k}", ResultRole.OUTPUT, maker.pick(outputs[-8:]))
    return b.finish(f"random{seed}")


def _next_state(maker: _Maker, state: int) -> int:
    """A batched value of the state's shape, below 1: mixed from it or made without it."""
    b, shape = maker.b, maker.kind(state).shape
    new = b.op("tanh", maker.varying(maker.of_shape(shape), state))
    if maker.rng.random() < 0.25 and maker.kind(new).batched:
        return new
    gate = b.op("sigmoid", maker.varying(maker.of_shape(shape), state))
    kept = b.op("mul", gate, b.op("tanh", state) if maker.rng.random() < 0.5 else state)
    rest = b.op("mul", b.op("sub", b.full(1.0, shape), gate), new)
    return b.op("add", kept, rest)


def graphs(
    size: int = 25, *, continuous: bool = False, derived: bool = False
) -> st.SearchStrategy[Graph]:
    """The same graphs as a hypothesis strategy; it shrinks to smaller graphs and seeds."""
    return st.builds(
        lambda seed, steps: random_graph(seed, steps, continuous=continuous, derived=derived),
        st.integers(0, 10**6),
        st.integers(1, size),
    )
