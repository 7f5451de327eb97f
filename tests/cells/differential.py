"""What a cell must compute, with its gradients, and how exactly that can be asked for.

The tolerance is measured: every leaf is multiplied by 1 plus or minus a few units in the last
place, and the interpreter's own results say how far such a change carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike

from rnndsl.compiler.autodiff import (
    Differentiated,
    SavePolicy,
    differentiate,
    differentiate_shared,
    save_cheapest,
)
from rnndsl.compiler.interpreter import run, run_shared
from rnndsl.compiler.ir import Graph, ResultRole
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.separate import Program, separate

Arrays = dict[str, Array]

# Every op rounds by half a unit; errors of a sequence add up over its ops and steps.
ROUNDINGS = 128.0
# A cell that magnifies a relative change of its leaves by more than this is chaotic: two
# correct computations of it need not agree.
CHAOTIC = 1e5


@dataclass(frozen=True)
class Problem:
    """A bound graph with numbers to run it on, and the cotangents of its results."""

    graph: Graph
    inputs: Arrays
    states: Arrays
    params: Arrays
    d_outputs: Arrays
    d_states: Arrays


def make_problem(graph: Graph, params: Arrays, length: int, batch: int, seed: int) -> Problem:
    """Random inputs, states and cotangents for a bound, lowered graph."""
    rng = np.random.default_rng(seed)
    program = separate(graph)
    step = program.step

    def draw(*shape: int) -> Array:
        return 0.5 * rng.standard_normal(shape)

    inputs = {
        f.name: draw(length, batch, *f.type.sizes) for f in step.leaves if f.role.value == "input"
    }
    start = run_shared(program.prepare, params)
    states = {
        f.name: np.broadcast_to(start[f"init.{f.name}"], (batch, *f.type.sizes))
        for f in step.leaves
        if f.role.value == "state"
    }
    # States that the cell reaches by itself: random ones may make no sense to it.
    with np.errstate(all="ignore"):
        states = run(step, inputs, states, {**params, **start}).states
    d_outputs = {
        r.name: draw(length, batch, *step.type_of(r.value).sizes)
        for r in step.results_of(ResultRole.OUTPUT)
    }
    d_states = {name: draw(*array.shape) for name, array in states.items()}
    return Problem(graph, inputs, states, params, d_outputs, d_states)


def values(problem: Problem, save: SavePolicy = save_cheapest) -> Arrays:
    """Outputs, final states, and gradients ``d.*`` of inputs, states and parameters."""
    program, made = _differentiated(problem.graph, save)
    shared = problem.params | run_shared(program.prepare, problem.params)
    forward = run(made.forward, problem.inputs, problem.states, shared)
    streams = {**problem.inputs, **forward.outputs}
    streams |= {f"d.{name}": value for name, value in problem.d_outputs.items()}
    for name, start in problem.states.items():
        if f"next.{name}" in forward.outputs:
            after = forward.outputs[f"next.{name}"]
            streams[f"prev.{name}"] = np.concatenate([start[None], after[:-1]])
    carried = {f"d.{name}": value for name, value in problem.d_states.items()}
    back = run(made.backward, streams, carried, shared, reverse=True)
    found = {name: forward.outputs[name] for name in problem.d_outputs}
    found |= {f"next {name}": value for name, value in forward.states.items()}
    found |= back.outputs | back.states
    return found | _parameter_gradients(program.prepare, problem.params, back.sums)


@lru_cache(maxsize=1)  # the same graph on other numbers is what often follows
def _differentiated(graph: Graph, save: SavePolicy) -> tuple[Program, Differentiated]:
    program = separate(graph)
    return program, differentiate(program.step, save)


def _parameter_gradients(prepare: Graph, params: Arrays, sums: Arrays) -> Arrays:
    """Gradients of the parameters: direct ones, and those through derived parameters."""
    cotangents = {
        f"d.{r.name}": sums.get(f"d.{r.name}", np.zeros(prepare.type_of(r.value).sizes))
        for r in prepare.results
    }
    backward = differentiate_shared(prepare)
    found = {name: value for name, value in sums.items() if name.removeprefix("d.") in params}
    for name, value in run_shared(backward, {**params, **cotangents}).items():
        found[name] = found.get(name, 0) + value
    return found


def tolerances(problem: Problem, exact: Mapping[str, Array], dtype: DTypeLike) -> Arrays | None:
    """How far each value may be off in ``dtype``; None when the cell is chaotic."""
    unit = float(np.finfo(dtype).eps) / 2
    probe = max(unit, 2.0**-36)  # float64 noise would itself be lost in rounding
    rng = np.random.default_rng(0)
    allowed = {}
    moved = dict.fromkeys(exact, 0.0)
    for _ in range(2):
        shaken = values(_shaken(problem, probe, rng))
        for name, array in exact.items():
            moved[name] = max(moved[name], float(np.abs(shaken[name] - array).max(initial=0)))
    # Cotangents as large as any of the gradients may cancel in the sum that is one of them.
    gradient = max((_size(a) for n, a in exact.items() if n.startswith("d.")), default=0.0)
    for name, array in exact.items():
        size = _size(array)
        if not np.isfinite(size) or moved[name] / probe > CHAOTIC * (1 + size):
            return None
        size = max(size, gradient) if name.startswith("d.") else size
        allowed[name] = np.asarray(ROUNDINGS * unit * (moved[name] / probe + size + 1e-3))
    return allowed


def _size(array: Array) -> float:
    return float(np.abs(array).max(initial=0))


def _shaken(problem: Problem, probe: float, rng: np.random.Generator) -> Problem:
    def shake(arrays: Arrays) -> Arrays:
        return {n: a * (1 + probe * rng.choice((-1.0, 1.0), a.shape)) for n, a in arrays.items()}

    return Problem(
        problem.graph,
        shake(problem.inputs),
        shake(problem.states),
        shake(problem.params),
        problem.d_outputs,
        problem.d_states,
    )
