"""Features of a cell at its random start: how it spreads examples, and how gradients travel.

The hidden covariance score is that of Serianni and Kalita 2023 ("Training-free neural
architecture search for RNNs and transformers"), for the first layer: the outputs over a
sequence of 70 steps of 50 examples are 50 long vectors; of their correlation matrix with the
eigenvalues v it is -sum(log(v + k) + 1 / (v + k)), k = 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnndsl.compiler.initializers import initialize
from rnndsl.compiler.interpreter import run_shared, run_step
from rnndsl.compiler.ir import LeafRole, ResultRole
from rnndsl.compiler.lower import Lowered, lower
from rnndsl.compiler.separate import Program, separate
from rnndsl.dims import DimError

if TYPE_CHECKING:
    from rnndsl.cell import Cell

Array = NDArray[np.float64]

BEHAVIOUR = (
    "hidden_covariance",
    "finite",
    "output.scale",
    "output.spread",
    "output.dimension",
    "output.saturated",
    "state.scale",
    "state.growth",
    "jacobian.radius",
    "jacobian.norm",
    "jacobian.largest",
    "jacobian.smallest",
    "jacobian.lyapunov",
    "jacobian.lyapunov_mean",
    "gradient.output_1",
    "gradient.output_5",
    "gradient.output_20",
    "gradient.vanishing",
    "gradient.input_0",
    "gradient.input_5",
)


@dataclass(frozen=True, slots=True)
class Probe:
    """The fixed small problem that a cell is tried on.

    Inputs of rank 1 are embeddings of random words whose frequencies follow Zipf's law, as
    language models see them; others are normal.  ``tangents`` bounds how many directions of
    the states are followed for the Jacobians.
    """

    input_size: int = 32
    hidden_size: int = 48
    steps: int = 70
    batch: int = 50
    vocabulary: int = 10_000
    embedding_scale: float = 0.1
    jacobian_steps: int = 20
    jacobian_hidden: int = 16
    tangents: int = 64
    offset: float = 1e-5  # k of the score


DEFAULT = Probe()
_SMALL, _LARGE = 1e-12, 1e12
_STEP = 1e-6  # of the differences that stand for derivatives


def behaviour_features(
    cell: Cell | Lowered, seed: int = 0, probe: Probe = DEFAULT
) -> dict[str, float]:
    """Features of a cell with random parameters, in the interpreter: the keys of ``BEHAVIOUR``.

    Scales, norms and growths are decimal logarithms.  A cell whose numbers are not finite has
    ``finite`` 0, the lowest score, and zeros for what could not be measured.  RnndslError for
    a cell with mistakes.
    """
    lowered = cell if isinstance(cell, Lowered) else lower(cell)
    lowest = -probe.batch / probe.offset
    found = {name: 0.0 for name in BEHAVIOUR} | {"hidden_covariance": lowest}
    with np.errstate(all="ignore"):
        found |= _sequence_features(lowered, seed, probe)
        if found["finite"]:
            found |= _jacobian_features(lowered, seed, probe)
    return {name: float(found[name]) for name in BEHAVIOUR}


def hidden_covariance(outputs: Array, offset: float = DEFAULT.offset) -> float:
    """The score of outputs [T, B, *]: examples are rows, steps and units columns."""
    rows = outputs.swapaxes(0, 1).reshape(outputs.shape[1], -1)
    with np.errstate(invalid="ignore", divide="ignore"):  # rows that are all alike
        correlation = np.nan_to_num(np.corrcoef(rows))
    eigenvalues = np.maximum(np.linalg.eigvalsh(correlation), 0.0)
    return float(-np.sum(np.log(eigenvalues + offset) + 1 / (eigenvalues + offset)))


class _Trial:
    """A cell bound to sizes, with parameters and states at their start."""

    def __init__(self, lowered: Lowered, seed: int, sizes: Mapping[str, int]) -> None:
        program: Program = separate(lowered.graph.bind(sizes))
        params = initialize(lowered.params, sizes, seed)
        self.step = program.step
        self._shared = params | run_shared(program.prepare, params)
        self.inputs = self.step.leaves_of(LeafRole.INPUT)
        self._states = self.step.leaves_of(LeafRole.STATE)
        self.output = next(iter(self.step.results_of(ResultRole.OUTPUT))).name

    def start(self, batch: int) -> dict[str, Array]:
        return {
            leaf.name: np.broadcast_to(
                self._shared[f"init.{leaf.name}"], (batch, *leaf.type.sizes)
            ).astype(np.float64)
            for leaf in self._states
        }

    def advance(
        self, states: Mapping[str, Array], inputs: Mapping[str, Array]
    ) -> tuple[dict[str, Array], Array]:
        """The next states and the output, all [B, *]."""
        found = run_step(self.step, {**self._shared, **inputs, **states})
        return {name: found[f"state.{name}"] for name in states}, found[f"output.{self.output}"]


def _sizes(lowered: Lowered, width: int, hidden: int) -> dict[str, int]:
    """D is the input's size; every other dimension is the hidden size."""
    return {name: width if name == "D" else hidden for name in sorted(lowered.graph.dims)}


def _stream(trial: _Trial, steps: int, batch: int, seed: int, probe: Probe) -> list[dict[str, Any]]:
    generator = np.random.default_rng([seed, 1])
    ranks = np.arange(1, probe.vocabulary + 1)
    shares = (1 / ranks) / (1 / ranks).sum()
    streams: dict[str, Array] = {}
    for leaf in trial.inputs:
        shape = leaf.type.sizes
        if len(shape) == 1:
            words = generator.choice(probe.vocabulary, (steps, batch), p=shares)
            table = generator.uniform(-1, 1, (probe.vocabulary, *shape)) * probe.embedding_scale
            streams[leaf.name] = table[words]
        else:
            streams[leaf.name] = generator.standard_normal((steps, batch, *shape))
    return [{name: stream[t] for name, stream in streams.items()} for t in range(steps)]


def _sequence_features(lowered: Lowered, seed: int, probe: Probe) -> dict[str, float]:
    try:
        trial = _Trial(lowered, seed, _sizes(lowered, probe.input_size, probe.hidden_size))
    except DimError:
        return {"finite": 0.0}
    states = trial.start(probe.batch)
    outputs: list[Array] = []
    sizes: list[float] = []
    for inputs in _stream(trial, probe.steps, probe.batch, seed, probe):
        states, output = trial.advance(states, inputs)
        outputs.append(output)
        sizes.append(max((_rms(state) for state in states.values()), default=0.0))
    stacked = np.stack(outputs)
    if not (np.isfinite(stacked).all() and np.isfinite(sizes).all()):
        return {"finite": 0.0}
    last = stacked[-1].reshape(probe.batch, -1)
    spectrum = np.linalg.svd(last - last.mean(0), compute_uv=False) ** 2
    total = spectrum.sum()
    return {
        "hidden_covariance": hidden_covariance(stacked, probe.offset),
        "finite": 1.0,
        "output.scale": _log(_rms(last)),
        "output.spread": _log(float(last.std(0).mean())),
        "output.dimension": float(total**2 / (spectrum**2).sum()) if total > 0 else 0.0,
        "output.saturated": float(np.mean(np.abs(last) > 0.95)),
        "state.scale": _log(sizes[-1]),
        "state.growth": _log(sizes[-1]) - _log(sizes[len(sizes) // 2]),
    }


def _jacobian_features(lowered: Lowered, seed: int, probe: Probe) -> dict[str, float]:
    """Along one sequence, by differences: every example but the first is a disturbed copy."""
    try:
        hidden = probe.jacobian_hidden
        trial = _Trial(lowered, seed, _sizes(lowered, hidden, hidden))
    except DimError:
        return {}
    start = trial.start(1)
    width = sum(state.size for state in start.values())
    if not width:
        return {}
    count = min(width, probe.tangents)
    generator = np.random.default_rng([seed, 2])
    basis = np.linalg.qr(generator.standard_normal((width, count)))[0]
    stream = _stream(trial, probe.jacobian_steps, 1, seed, probe)
    inputs_follow = _input_directions(trial, generator)
    return _follow(trial, start, stream, basis, inputs_follow)


def _follow(
    trial: _Trial,
    states: dict[str, Array],
    stream: list[dict[str, Any]],
    basis: Array,
    nudges: dict[str, Array],
) -> dict[str, float]:
    tangent, frame, felt = basis, basis, np.zeros((len(basis), 1))
    exponents: list[Array] = []
    reached: dict[int, float] = {}
    found: dict[str, float] = {}
    for time, inputs in enumerate(stream):
        # One run of a batch: the sequence itself, then disturbed states, then a disturbed input.
        followed = (tangent, frame, felt)
        scales = [max(float(np.abs(t).max()), _SMALL) for t in followed]
        directions = np.concatenate([t / s for t, s in zip(followed, scales, strict=True)], axis=1)
        moved, outputs = _differences(trial, states, inputs, directions, nudges, time == 0)
        split = tangent.shape[1], tangent.shape[1] + frame.shape[1]
        tangent = moved[:, : split[0]] * scales[0]
        image = moved[:, split[0] : split[1]] * scales[1]
        felt = moved[:, split[1] : split[1] + 1] * scales[2] if time else moved[:, -1:]
        if time == 0:
            found["gradient.input_0"] = _log(float(np.linalg.norm(outputs[:, -1])))
        if time == 5:
            reached_input = outputs[:, split[1] : split[1] + 1] * scales[2]
            found["gradient.input_5"] = _log(float(np.linalg.norm(reached_input)))
        change = np.linalg.norm(outputs[:, : split[0]]) * scales[0] / np.sqrt(split[0])
        reached[time + 1] = float(change)
        if not (np.isfinite(moved).all() and np.isfinite(image).all()):
            return found
        found |= _of_one_step(frame, image)
        frame, triangle = np.linalg.qr(image)
        exponents.append(np.log10(np.maximum(np.abs(np.diag(triangle)), _SMALL)))
        states, _ = trial.advance(states, inputs)
    mean = np.mean(exponents, axis=0)
    last = max(reached)
    return found | {
        "jacobian.lyapunov": float(mean.max()),
        "jacobian.lyapunov_mean": float(mean.mean()),
        "gradient.output_1": _log(reached[1]),
        "gradient.output_5": _log(reached[min(5, last)]),
        "gradient.output_20": _log(reached[last]),
        "gradient.vanishing": (_log(reached[last]) - _log(reached[1])) / last,
    }


def _of_one_step(frame: Array, image: Array) -> dict[str, float]:
    """Of the Jacobian of the states, seen in the directions that are followed."""
    seen = frame.T @ image
    singular = np.linalg.svd(image, compute_uv=False)
    return {
        "jacobian.radius": _log(float(np.abs(np.linalg.eigvals(seen)).max())),
        "jacobian.norm": _log(float(np.sqrt(np.mean(singular**2)))),
        "jacobian.largest": _log(float(singular[0])),
        "jacobian.smallest": _log(float(singular[-1])),
    }


def _input_directions(trial: _Trial, generator: np.random.Generator) -> dict[str, Array]:
    """A direction of length 1 for the inputs together."""
    drawn = {leaf.name: generator.standard_normal((1, *leaf.type.sizes)) for leaf in trial.inputs}
    length = np.sqrt(sum(float((v**2).sum()) for v in drawn.values()))
    return {name: v / max(length, _SMALL) for name, v in drawn.items()}


def _differences(
    trial: _Trial,
    states: dict[str, Array],
    inputs: dict[str, Any],
    directions: Array,
    nudges: dict[str, Array],
    nudge: bool,
) -> tuple[Array, Array]:
    """How next states [S, n] and outputs [O, n] change along directions [S, n] of the states,
    and with ``nudge`` last along that of the inputs: central differences."""
    flat = np.concatenate([state.reshape(1, -1) for state in states.values()], axis=1)
    count = directions.shape[1] + nudge
    sides = []
    for sign in (_STEP, -_STEP):
        rows = np.repeat(flat, count, axis=0)
        rows[: directions.shape[1]] += sign * directions.T
        moved: dict[str, Array] = {}
        begin = 0
        for name, state in states.items():
            moved[name] = rows[:, begin : begin + state.size].reshape(count, *state.shape[1:])
            begin += state.size
        given = {name: np.repeat(value, count, axis=0) for name, value in inputs.items()}
        if nudge:
            for name, value in nudges.items():
                given[name][-1:] += sign * value
        after, output = trial.advance(moved, given)
        joined = np.concatenate([after[name].reshape(count, -1) for name in states], axis=1)
        sides.append((joined.T, output.reshape(count, -1).T))
    (states_up, out_up), (states_down, out_down) = sides
    return (states_up - states_down) / (2 * _STEP), (out_up - out_down) / (2 * _STEP)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _log(value: float) -> float:
    """The decimal logarithm, within bounds."""
    if not np.isfinite(value):
        return log10(_LARGE)
    return log10(min(max(value, _SMALL), _LARGE))
