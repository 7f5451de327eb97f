"""Where each tensor that a backward pass takes comes from, by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnndsl.backends.torch.derivative import ProgramDerivative
from rnndsl.backends.torch.picking import Pick, pick
from rnndsl.backends.torch.program import INIT, SequenceProgram
from rnndsl.compiler.ir import Graph, LeafRole


@dataclass(frozen=True)
class BackwardWiring:
    """What the backward plan of a program takes and gives.

    ``streams`` picks its streams from the inputs, the outputs, the saved streams, the delayed
    states and the cotangents of the outputs.  ``delayed`` are the states whose values before
    each step are read: the place of their stream among the first three of those, and which
    states they are.  ``carried`` picks the plan's states from the cotangents of the states, and
    ``states`` those in the program's order from what it returns.  ``inputs`` are the places of
    the wanted inputs' gradients among its outputs, None for those that are zero.
    """

    delayed: tuple[tuple[int, int], ...]
    streams: Pick
    carried: Pick
    states: Pick
    inputs: tuple[int | None, ...]


@dataclass(frozen=True)
class ParameterWiring:
    """How gradients of parameters follow from sums over time and gradients of first states.

    ``first`` are the states whose gradients are summed over the batch, ``zeros`` the shapes of
    gradients that are zero.  ``leaves`` picks the leaves of the shared backward graph from the
    sums, those, these, the shared values, and None for what nothing reads.  ``gradients`` picks
    those of the wanted parameters from the sums, the results of that graph, and None for zero;
    ``added`` are places among those and places of what is added to them.
    """

    first: tuple[int, ...]
    zeros: tuple[tuple[int, ...], ...]
    leaves: Pick
    gradients: Pick
    added: tuple[tuple[int, int], ...]


def wire_backward(
    program: SequenceProgram, derivative: ProgramDerivative, wanted: frozenset[str]
) -> BackwardWiring:
    """The wiring of the backward plan for gradients of ``wanted`` inputs and parameters."""
    inputs, outputs, states = list(program.inputs), list(program.outputs), list(program.states)
    groups = {"input": 0, "output": len(inputs), "saved": len(inputs) + len(outputs)}
    places = {name: place for place, name in enumerate(inputs)}
    places |= {name: groups[p.group] + p.index for name, p in derivative.places.items()}
    behind = groups["saved"] + len(derivative.kept)
    late = [k for k, name in enumerate(states) if f"next.{name}" in places]
    delayed = [(places[f"next.{states[k]}"], k) for k in late]
    later = [*(f"prev.{states[k]}" for k in late), *(f"d.{name}" for name in outputs)]
    places |= {name: behind + offset for offset, name in enumerate(later)}
    cotangents = _places([f"d.{name}" for name in states])
    outcomes, ends = _places(derivative.output_gradients), _places(derivative.state_gradients)
    backward = derivative.backward
    return BackwardWiring(
        tuple(delayed),
        pick([places[leaf.name] for leaf in backward.leaves_of(LeafRole.INPUT)]),
        pick([cotangents[leaf.name] for leaf in backward.leaves_of(LeafRole.STATE)]),
        pick([ends[f"d.{name}"] for name in states]),
        tuple(outcomes.get(f"d.{name}") for name in inputs if name in wanted),
    )


def wire_parameters(
    program: SequenceProgram,
    derivative: ProgramDerivative,
    wanted: frozenset[str],
    shared: Sequence[str],
    given_states: bool,
) -> ParameterWiring:
    """The wiring behind the backward plan; ``shared`` are the names of the shared values.

    Where the states before the first step are given, their gradients are not parameters'.
    """
    graph = derivative.shared
    read, sums = _read(graph), _places(derivative.sum_gradients)
    starts = [f"d.{INIT}{name}" for name in program.states]
    first = [] if given_states else [k for k, name in enumerate(starts) if name in read]
    made = {f"d.{r.name}": program.prepare.type_of(r.value).sizes for r in program.prepare.results}
    have = [*derivative.sum_gradients, *(starts[k] for k in first)]
    zero = [leaf.name for leaf in graph.leaves if leaf.name in read & made.keys() - set(have)]
    known = _places([*have, *zero, *shared])
    leaves = [known[leaf.name] if leaf.name in read else -1 for leaf in graph.leaves]
    count = len(derivative.sum_gradients)
    pulled = {r.name: count + place for place, r in enumerate(graph.results)}
    names = [f"d.{name}" for name in program.params if name in wanted]
    return ParameterWiring(
        tuple(first),
        tuple(made[name] for name in zero),
        pick(leaves),
        pick([sums.get(name, pulled.get(name, -1)) for name in names]),
        tuple((k, pulled[n]) for k, n in enumerate(names) if n in sums and n in pulled),
    )


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _read(graph: Graph) -> frozenset[str]:
    """The leaves that something is computed from."""
    found = {value for node in graph.nodes for value in node.operands}
    found |= {result.value for result in graph.results}
    return frozenset(leaf.name for value, leaf in enumerate(graph.leaves) if value in found)
