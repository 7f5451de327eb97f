"""Random cells as text: well-typed files over most of the language.

A cell is a function of its seed alone: one to three states (a matrix among them), ``linear``,
parameters, derived parameters, loops, reductions, generated weights and sub-cells.  Values
stay of moderate size, so that every backend can run them in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SQUASH = ("tanh", "sigmoid", "softmax", "erf", "sin", "cos", "l2_normalize")
_SMOOTH = (*_SQUASH, "softplus", "logsigmoid", "silu", "gelu", "selu", "elu", "neg", "swish")
_KINKED = ("relu", "abs", "leaky_relu", "hard_sigmoid", "cummax")
_JUMPING = ("sign", "step", "floor", "round")
_INITS = ("orthogonal", "normal(0, 0.1)", "uniform(-0.1, 0.1)", "constant(0.1)", "zeros")


class _Writer:
    """Writes the body of one cell, line by line; ``vectors`` are the names of shape [H]."""

    def __init__(self, rng: np.random.Generator, continuous: bool) -> None:
        self.rng = rng
        self.continuous = continuous
        self.lines: list[str] = []
        self.vectors: list[str] = []
        self.count = 0

    def pick(self, items: Sequence[str]) -> str:
        return items[int(self.rng.integers(len(items)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def fresh(self, letter: str = "v") -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def say(self, line: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + line)

    def let(self, value: str, letter: str = "v", depth: int = 1) -> str:
        name = self.fresh(letter)
        self.say(f"{name} = {value}", depth)
        return name

    def vector(self, depth: int = 2) -> str:
        """An expression of shape [H] without parameters."""
        if depth == 0 or self.chance(0.2):
            return self.pick(self.vectors)
        inner = self.vector(depth - 1)
        form = int(self.rng.integers(11))
        if form <= 2:
            return f"{self.function()}({inner})"
        if form == 3:
            return f"({inner} + {self.vector(depth - 1)})"
        if form == 4:
            return f"({inner} - {self.vector(depth - 1)})"
        if form == 5:
            return f"{inner} * {self.vector(depth - 1)}"
        if form == 6:
            return f"lerp({inner}, {self.vector(depth - 1)}, {self.gate(depth - 1)})"
        if form == 7:
            return f"{self.pick(('max', 'min'))}({inner}, {self.vector(depth - 1)})"
        if form == 8:
            return f"{inner} / (1 + abs({self.vector(depth - 1)}))"
        if form == 9:
            return f"{self.scalar(inner)} * {self.vector(depth - 1)}"
        if self.continuous:
            return f"roll({inner}, {int(self.rng.integers(-2, 3))})"
        return f"where({inner} > {self.number()}, {self.vector(depth - 1)}, {inner})"

    def gate(self, depth: int) -> str:
        return f"sigmoid({self.vector(depth)})"

    def scalar(self, vector: str) -> str:
        form = self.pick(("mean", "max_of", "norm", "dot", "logsumexp"))
        if form == "dot":
            return f"tanh(dot({vector}, {self.pick(self.vectors)}))"
        if form == "norm":
            return f"sqrt(1 + sum({vector} * {vector}))"
        return f"{form}({vector})"

    def number(self) -> str:
        return self.pick(("0", "0.5", "-0.25", "1", "2"))

    def function(self) -> str:
        names = (*_SMOOTH, *_KINKED) if self.continuous else (*_SMOOTH, *_KINKED, *_JUMPING)
        return self.pick(names)

    def linear(self, size: str, operands: Sequence[str]) -> str:
        """A linear map of one to three distinct names."""
        found = list(dict.fromkeys(operands))
        chosen = [found[k] for k in self.rng.permutation(len(found))[: self.rng.integers(1, 4)]]
        options = ""
        if self.chance(0.3):
            options += f", bias = {self.pick(('none', '0', '1', '-2'))}"
        if self.chance(0.3):
            options += f", init = {self.pick(_INITS)}"
        return f"linear[{size}]({', '.join(chosen)}{options})"

    # --- statements

    def gated(self) -> None:
        made = self.let(f"{self.pick(_SQUASH)}({self.linear('H', ['x', *self.vectors])})", "g")
        self.vectors.append(made)

    def arithmetic(self) -> None:
        self.vectors.append(self.let(f"tanh({self.vector(3)})"))

    def normalised(self) -> None:
        self.vectors.append(self.let(f"layer_norm({self.vector(1)})", "n"))

    def parameters(self) -> None:
        """A parameter, used as it is or in a derived form, as a factor or a matrix."""
        name = self.fresh("p")
        if self.chance(0.5):
            self.say(f"param {name}: [H] = {self.pick(_INITS[1:])}")
            self.vectors.append(self.let(f"tanh({name} * {self.pick(self.vectors)})"))
            return
        frozen = self.pick(("", " frozen"))
        self.say(f"param {name}: [H, H] = {self.pick(_INITS[:3])}{frozen}")
        derived = self.pick((f"{name}", f"exp(-softplus({name}))", f"transpose({name}) @ {name}"))
        matrix = self.let(derived, "w") if derived != name else name
        self.vectors.append(self.let(f"tanh({matrix} @ {self.pick(self.vectors)})"))

    def generated(self) -> None:
        """A matrix made for each example, applied to a vector."""
        key = self.let(self.linear("K", ["x", *self.vectors]), "k")
        matrix = self.let(f"tanh(outer({self.pick(self.vectors)}, softmax({key})))", "w")
        query = self.let(self.linear("K", self.vectors), "q")
        self.vectors.append(self.let(f"tanh({matrix} @ {query})"))

    def loop(self) -> None:
        name = self.fresh("y")
        self.say(f"{name} = {self.pick(self.vectors)}")
        extra = ", x if l == 0" if self.chance(0.5) else ""
        self.say(f"for l in 0..{int(self.rng.integers(2, 4))}:")
        inner = self.let(f"linear[H]({name}{extra})", "a", depth=2)
        gate = self.pick((f"sigmoid({self.pick(self.vectors)})", "0.5"))
        self.say(f"{name} = {name} + {gate} * (tanh({inner}) - {name})", depth=2)
        self.vectors.append(name)
        if self.chance(0.5):
            self.vectors.append(f"{inner}[0]")
        # A version of a loop's value is no bare name: give it one.
        if self.vectors[-1].endswith("]"):
            self.vectors[-1] = self.let(f"tanh({self.vectors[-1]})")

    def pieces(self) -> None:
        """Take apart and put together along the axis."""
        first, second = self.pick(self.vectors), self.pick(self.vectors)
        form = int(self.rng.integers(4))
        if form == 0:
            whole = self.let(f"concat({first}, {second})", "c")
            value = f"slice({whole}, 0, H) * slice({whole}, H, 2 * H)"
        elif form == 1:
            value = f"max_of(stack({first}, {second}), axis = 0)"
        elif form == 2:
            value = f"cumsum({first}) / H"
        else:
            value = f"slice(pad({first}, 1, 0), 0, H)"
        self.vectors.append(self.let(value))

    def sub_cell(self, names: Sequence[str]) -> None:
        cell = self.pick(names)
        name = self.let(f"{cell}(H, H)({self.pick(self.vectors)})", "s")
        self.vectors.append(name)
        if self.chance(0.5):
            inner = f"{name}.i" if cell == "LSTM" else f"{name}.u"
            self.vectors.append(self.let(f"tanh({inner})"))


_STATEMENTS: dict[str, float] = {
    "gated": 0.3,
    "arithmetic": 0.25,
    "normalised": 0.07,
    "parameters": 0.13,
    "generated": 0.07,
    "loop": 0.08,
    "pieces": 0.1,
}


def random_cell(seed: int, size: int = 5, *, continuous: bool = False) -> str:
    """The text of a file whose last cell is called ``Random``, over the dimensions D and H.

    ``size`` is about the number of statements.  ``continuous`` leaves out functions that
    jump, for tests whose two sides round differently.
    """
    rng = np.random.default_rng(seed)
    with_sub_cell = rng.random() < 0.3
    parts = [_inner_cell(rng, continuous)] if with_sub_cell else []
    writer = _Writer(rng, continuous)
    writer.say("input x: [D]")
    states = ["h"]
    start = "" if writer.chance(0.7) else writer.pick((" = 1", " = h0", " = tanh(h0)"))
    if "h0" in start:
        writer.say("param h0: [H] = normal(0, 0.5)")
    writer.say(f"state h: [H]{start}")
    writer.vectors.append("h")
    for kind in ("matrix", "peak", "vector"):
        if writer.chance(0.3) and len(states) < 3:
            states.append(kind)
    if "vector" in states:
        writer.say("state c: [H]")
        writer.vectors.append("c")
    if "peak" in states:
        writer.say("state m: [H] = -1")
        writer.vectors.append("m")
    if "matrix" in states:
        writer.say("state S: [K, H]")
    read = writer.let(f"tanh({writer.linear('H', ['x'])})")
    writer.vectors.append(read)
    if "matrix" in states:
        _matrix_state(writer)
    names, weights = list(_STATEMENTS), np.array(list(_STATEMENTS.values()))
    for _ in range(int(rng.integers(1, size + 1))):
        getattr(writer, str(rng.choice(names, p=weights / weights.sum())))()
    if with_sub_cell:
        writer.sub_cell(["Inner", "Inner", "LSTM"])
    if "vector" in states:
        writer.say(f"c' = {writer.gate(1)} * c + tanh({writer.vector(2)})")
        writer.say("c_bounded = tanh(c')")
        writer.vectors.append("c_bounded")
    if "peak" in states:
        writer.say(f"m' = max(m - 0.1, {writer.pick(writer.vectors)})")
    rest = writer.vector(2)
    writer.say(f"h' = tanh({rest} + {writer.pick(writer.vectors[-3:])} * {read})")
    result = writer.pick(("h'", "h", rest))
    writer.say(f"return {result}")
    parts.append("\n".join(("cell Random(D, H, K = 3):", *writer.lines)))
    return "\n\n".join(parts) + "\n"


def _matrix_state(writer: _Writer) -> None:
    key = writer.let(f"softmax({writer.linear('K', ['x', 'h'])})", "k")
    value = writer.pick(writer.vectors)
    decay = writer.pick(("0.9", "sigmoid(decay)"))
    if decay != "0.9":
        writer.say("param decay: [] = constant(1)")
    writer.say(f"S' = {decay} * S + outer({key}, {value})")
    read = writer.pick(
        (
            f'einsum("k,kh->h", {key}, S\')',
            "sum(S', axis = 0)",
            "max_of(S', axis = 0)",
            f"transpose(S') @ {key}",
            f"{key} @ S'",
        )
    )
    writer.vectors.append(writer.let(f"tanh({read})", "r"))


def _inner_cell(rng: np.random.Generator, continuous: bool) -> str:
    writer = _Writer(rng, continuous)
    writer.say("input x: [D]")
    writer.say("state h: [H]")
    writer.vectors.append("h")
    writer.say("u = tanh(linear[H](x, h))")
    writer.vectors.append("u")
    writer.arithmetic()
    writer.say(f"h' = lerp(h, tanh({writer.vector(1)}) * u, {writer.gate(1)})")
    writer.say("return h'")
    return "\n".join(("cell Inner(D, H):", *writer.lines))


def streams(rng: np.random.Generator, count: int) -> tuple[list[str], list[str]]:
    """Statements on the input ``x`` alone, and the names of vectors [H] that they make."""
    writer = _Writer(rng, continuous=True)
    made = []
    for _ in range(count):
        writer.vectors = [writer.let(f"tanh({writer.linear('H', ['x'])})")]
        made.append(writer.let(f"tanh({writer.vector(2)})", "s"))
    return [line.strip() for line in writer.lines], made
