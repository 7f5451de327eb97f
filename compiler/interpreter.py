"""The interpreter: float64 NumPy, one op at a time; it defines what every cell computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.ops import OPS


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a sequence gives: ``outputs`` [T, B, *shape], ``states`` [B, *shape] after the
    last step, ``sums`` [*shape] over all steps, and shared ``values`` [*shape]."""

    outputs: dict[str, Array]
    states: dict[str, Array]
    sums: dict[str, Array]
    values: dict[str, Array]


def evaluate(graph: Graph, leaves: Mapping[str, Array]) -> list[Array]:
    """All values of one step of a bound graph.

    ``leaves`` are [B, *shape] if batched, else [*shape].  Every value comes back with one
    leading axis, of length 1 for shared values.  KeyError if a leaf is missing.
    """
    values: list[Array] = []
    for leaf in graph.leaves:
        array = np.asarray(leaves[leaf.name])
        values.append(array if leaf.type.batched else array[None])
    for node in graph.nodes:
        arrays = [values[v] for v in node.operands]
        types = [graph.type_of(v) for v in node.operands]
        result = OPS[node.op].meaning(arrays, dict(node.attrs), types, node.type)
        values.append(result if node.operands else result[None])
    return values


def run_step(graph: Graph, leaves: Mapping[str, Array]) -> dict[str, Array]:
    """One step: the results by ``role.name``, e.g. ``state.h`` [B, *] or ``value.init.h`` [*]."""
    values = evaluate(graph, leaves)
    batch = _batch_size(graph, leaves)
    found = {}
    for result in graph.results:
        array = values[result.value]
        if graph.type_of(result.value).batched or result.role in _STREAMS:
            array = np.broadcast_to(array, (batch, *array.shape[1:]))
        else:
            array = array[0]
        found[f"{result.role.value}.{result.name}"] = array
    return found


_STREAMS = (ResultRole.OUTPUT, ResultRole.STATE)


def run(
    graph: Graph,
    inputs: Mapping[str, Array],
    states: Mapping[str, Array],
    params: Mapping[str, Array],
    reverse: bool = False,
) -> RunResult:
    """A whole sequence of a bound step graph, in float64.

    ``inputs`` [T, B, *shape], ``states`` [B, *shape] before the first step, ``params``
    [*shape].  ``reverse`` goes from the last step to the first; outputs keep their places.
    """
    names = {
        role: [leaf.name for leaf in graph.leaves_of(role)]
        for role in (LeafRole.INPUT, LeafRole.PARAM)
    }
    streams = {name: np.asarray(inputs[name], np.float64) for name in names[LeafRole.INPUT]}
    shared = {name: np.asarray(params[name], np.float64) for name in names[LeafRole.PARAM]}
    carried = {
        leaf.name: np.asarray(states[leaf.name], np.float64)
        for leaf in graph.leaves_of(LeafRole.STATE)
    }
    length = len(next(iter(streams.values()))) if streams else 1
    outputs: dict[str, list[Array]] = {r.name: [] for r in graph.results_of(ResultRole.OUTPUT)}
    sums: dict[str, Array] = {}
    values: dict[str, Array] = {}
    order = range(length - 1, -1, -1) if reverse else range(length)
    for time in order:
        here = {name: stream[time] for name, stream in streams.items()}
        found = run_step(graph, {**here, **carried, **shared})
        for result in graph.results:
            array = found[f"{result.role.value}.{result.name}"]
            match result.role:
                case ResultRole.OUTPUT:
                    outputs[result.name].append(array)
                case ResultRole.STATE:
                    carried[result.name] = array
                case ResultRole.SUM:
                    sums[result.name] = sums.get(result.name, 0) + array
                case ResultRole.VALUE:
                    values[result.name] = array
    stacked = {
        name: np.stack(arrays[::-1] if reverse else arrays) for name, arrays in outputs.items()
    }
    return RunResult(stacked, carried, sums, values)


def run_shared(graph: Graph, params: Mapping[str, Array]) -> dict[str, Array]:
    """The results of a prepare graph, by name, in float64."""
    leaves = {leaf.name: np.asarray(params[leaf.name], np.float64) for leaf in graph.leaves}
    values = evaluate(graph, leaves)
    return {result.name: values[result.value][0] for result in graph.results}


def _batch_size(graph: Graph, leaves: Mapping[str, Array]) -> int:
    for leaf in graph.leaves:
        if leaf.type.batched:
            return len(leaves[leaf.name])
    return 1


def first_nonfinite(graph: Graph, leaves: Mapping[str, Array]) -> Node | None:
    """The first node of a step whose value is not finite, or None."""
    values = evaluate(graph, leaves)
    for value, node in graph.node_values():
        if not np.isfinite(values[value]).all():
            return node
    return None
