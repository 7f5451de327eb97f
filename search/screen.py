"""Static rejection: cells that are not worth a training run, each with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnndsl.compiler.canonical import canonical_form
from rnndsl.compiler.initializers import initialize
from rnndsl.compiler.interpreter import run_shared, run_step
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.lower import Lowered
from rnndsl.compiler.separate import needed_values, separate
from rnndsl.dims import DimError

STEPS = 200
BATCH = 4
# The sizes of dimensions: D, H, and the others in turn.  All differ, so that two of them cannot
# be taken for each other, and H has many divisors, as heads and groups want it.
SIZES = (10, 24, 8, 6, 4, 12, 16, 3, 9, 5, 7)
# A state that is this large after so few steps doubles every fifteen steps or faster.
LARGEST = 1e4


def find_flaw(lowered: Lowered, seed: int = 0) -> str:
    """Why a cell is not worth training; empty when nothing speaks against it.

    Takes some ten milliseconds: 200 steps of a small cell in the interpreter.
    """
    return _unused(lowered.graph) or _constant(lowered.graph) or _explodes(lowered, seed)


def probe_sizes(graph: Graph) -> dict[str, int]:
    """Small sizes for the open dimensions, different ones where the shapes allow it."""
    names = sorted(graph.dims, key=lambda name: (name != "D", name != "H", name))
    places = SIZES if "D" in names else SIZES[1:]
    apart = {name: places[k % len(places)] for k, name in enumerate(names)}
    try:
        types = [value.type for value in graph.leaves] + [value.type for value in graph.nodes]
        if any(int(dim.bind(apart)) < 1 for kind in types for dim in kind.shape):
            raise DimError("a length is not positive")
    except DimError:
        return {name: 24 for name in names}
    return apart


def _unused(graph: Graph) -> str:
    """Inputs and states that the output does not depend on, now or at any later step."""
    found = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    wanted = [r.value for r in graph.results_of(ResultRole.OUTPUT)]
    reached: set[str] = set()
    while wanted:
        leaves = [
            graph.leaves[value]
            for value in needed_values(graph, wanted)
            if value < len(graph.leaves)
        ]
        states = [leaf.name for leaf in leaves if leaf.role is LeafRole.STATE]
        wanted = [found[name] for name in states if f"state {name}" not in reached]
        reached |= {f"{leaf.role.value} {leaf.name}" for leaf in leaves}
    for leaf in graph.leaves:
        name = f"{leaf.role.value} {leaf.name}"
        if leaf.role is not LeafRole.PARAM and name not in reached:
            return f"the output does not depend on {name}"
    if not any(leaf.role is LeafRole.STATE for leaf in graph.leaves):
        return "it has no state"
    return ""


def _constant(graph: Graph) -> str:
    """Outputs that turn out to be constant once states that stay zero are left out."""
    simple = canonical_form(graph)
    if any(not simple.type_of(r.value).batched for r in simple.results_of(ResultRole.OUTPUT)):
        return "the output is the same for every input"
    return "" if simple.leaves_of(LeafRole.STATE) else "no state is anything but zero"


def _explodes(lowered: Lowered, seed: int) -> str:
    """States that grow beyond all bounds from random parameters and inputs."""
    sizes = probe_sizes(lowered.graph)
    generator = np.random.default_rng(seed)
    program = separate(lowered.graph.bind(sizes))
    params = initialize(lowered.params, sizes, generator)
    step = program.step
    with np.errstate(all="ignore"):
        values = params | run_shared(program.prepare, params)
        states: dict[str, Any] = {
            leaf.name: np.broadcast_to(values[f"init.{leaf.name}"], (BATCH, *leaf.type.sizes))
            for leaf in step.leaves_of(LeafRole.STATE)
        }
        for time in range(1, STEPS + 1):
            inputs = {
                leaf.name: generator.standard_normal((BATCH, *leaf.type.sizes))
                for leaf in step.leaves_of(LeafRole.INPUT)
            }
            results = run_step(step, {**values, **inputs, **states})
            states = {name: results[f"state.{name}"] for name in states}
            seen = {f"state {name}": value for name, value in states.items()}
            for result in step.results_of(ResultRole.OUTPUT):
                seen["the output"] = results[f"output.{result.name}"]
            for what, value in seen.items():
                flaw = _flaw(what, value, time)
                if flaw:
                    return flaw
    return ""


def _flaw(what: str, value: Any, time: int) -> str:
    largest = np.abs(value).max()
    if not np.isfinite(largest):
        return f"{what} is not finite after {time} steps from random parameters"
    if largest > LARGEST:
        return f"{what} exceeds {LARGEST:g} after {time} steps from random parameters"
    return ""
