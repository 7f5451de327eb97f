"""How far two float computations of one graph may lie apart: measured, not guessed.

Every op rounds its result.  So the interpreter runs once more with every arithmetic value
multiplied by 1 plus or minus one unit in the last place (of the type under test), with random
signs; how far its results move says what rounding alone can do to this graph on these
numbers.  A result may be off by a small multiple of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.interpreter import RunResult, run
from rnndsl.compiler.ir import Graph, LeafRole
from rnndsl.compiler.op_meaning import Array

Arrays = Mapping[str, Array]

# Results of these are copies or small whole numbers: they carry no rounding of their own.
_UNROUNDED = frozenset(
    [
        "neg",
        "abs",
        "sign",
        "relu",
        "floor",
        "round",
        "step",
        "stop_grad",
        "max",
        "min",
        "lt",
        "le",
        "gt",
        "ge",
        "eq",
        "ne",
        "where",
        "reduce_max",
        "argmax",
        "cummax",
        "broadcast",
        "reshape",
        "transpose",
        "concat",
        "slice",
        "pad",
        "gather",
        "roll",
        "iota",
    ]
)
# The part of a result's own size that is always allowed, in units in the last place.
_OWN_ULPS = 4.0
_TRIALS = 4


def noisy(graph: Graph) -> Graph:
    """The graph with every rounded value times a PARAM ``noise.<k>`` of its shape."""
    builder = Builder()
    handles = [builder.leaf(f.name, f.role, f.type, f.span) for f in graph.leaves]
    for value, leaf in enumerate(graph.leaves):
        noise = builder.leaf(f"noise.{value}", LeafRole.PARAM, _shared(leaf.type))
        handles[value] = builder.op("mul", handles[value], noise)
    for value, node in graph.node_values():
        handle = builder.copy(node, tuple(handles[v] for v in node.operands))
        if node.op not in _UNROUNDED:
            noise = builder.leaf(f"noise.{value}", LeafRole.PARAM, _shared(node.type))
            handle = builder.op("mul", handle, noise)
        handles.append(handle)
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)


def _shared(kind: Any) -> Any:
    return type(kind)(kind.shape, False)


def tolerances(
    graph: Graph,
    inputs: Arrays,
    states: Arrays,
    params: Arrays,
    dtype: DTypeLike = np.float64,
    reverse: bool = False,
    ulps: float = 8.0,
) -> dict[str, float]:
    """The largest fair difference of each result, by ``output.y``, ``state.h``, ``sum.W``.

    ``ulps`` is how many units in the last place each op may be off.
    """
    unit = float(np.finfo(dtype).eps) / 2
    # Float64 noise would itself be lost in rounding: probe with more and scale back.
    probe = max(unit, 2.0**-36)
    exact = flat(run(graph, inputs, states, params, reverse))
    disturbed = noisy(graph)
    rng = np.random.default_rng(0)
    moved = {name: 0.0 for name in exact}
    for _ in range(_TRIALS):
        noise = {
            leaf.name: 1 + probe * rng.choice((-1.0, 1.0), leaf.type.sizes)
            for leaf in disturbed.leaves
            if leaf.name.startswith("noise.")
        }
        other = flat(run(disturbed, inputs, states, {**params, **noise}, reverse))
        for name, array in other.items():
            moved[name] = max(moved[name], _distance(array, exact[name]))
    return {
        name: ulps * unit * (moved[name] / probe + _OWN_ULPS * _size(exact[name])) for name in exact
    }


def flat(result: RunResult) -> dict[str, Array]:
    """All results by ``role.name``."""
    parts = (
        ("output", result.outputs),
        ("state", result.states),
        ("sum", result.sums),
        ("value", result.values),
    )
    return {f"{role}.{name}": array for role, found in parts for name, array in found.items()}


def assert_same(
    found: Mapping[str, Any],
    graph: Graph,
    inputs: Arrays,
    states: Arrays,
    params: Arrays,
    dtype: DTypeLike = np.float64,
    reverse: bool = False,
    ulps: float = 8.0,
) -> None:
    """``found`` (by ``role.name``, as :func:`flat` gives) is what the interpreter computes.

    Infinite and not-a-number elements must be the same ones; the others may differ by what
    :func:`tolerances` allows.  Results of ``found`` that the graph lacks are not looked at.
    """
    with np.errstate(all="ignore"):
        wanted = flat(run(graph, inputs, states, params, reverse))
        allowed = tolerances(graph, inputs, states, params, dtype, reverse, ulps)
    for name, exact in wanted.items():
        assert name in found, f"{name} is missing"
        array = np.asarray(found[name], np.float64)
        assert array.shape == exact.shape, f"{name} is {array.shape}, not {exact.shape}"
        finite = np.isfinite(exact)
        np.testing.assert_array_equal(array[~finite], exact[~finite], err_msg=name)
        off = _distance(array, exact)
        assert off <= allowed[name], f"{name} is off by {off:.3g}, allowed is {allowed[name]:.3g}"


def _distance(left: Array, right: Array) -> float:
    both = np.isfinite(right)
    return float(np.abs(left[both] - right[both]).max(initial=0.0))


def _size(array: Array) -> float:
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
