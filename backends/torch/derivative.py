"""The derivative of a program, and where each value that it reads comes from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from rnndsl.backends.torch.program import CHEAP, SequenceProgram, kept_with_kernels
from rnndsl.compiler.autodiff import (
    differentiate,
    differentiate_shared,
    save_cheapest,
    save_least,
)
from rnndsl.compiler.forms.choose import STEPS, with_forms
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole, Type
from rnndsl.compiler.joined import joined_params
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.plan import Plan


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream lies: ``group`` is "input", "output" or "saved", ``index`` counts there."""

    group: str
    index: int


@dataclass(frozen=True)
class ProgramDerivative:
    """Forward, backward and shared backward graphs of a program.

    ``kept`` are the types of the streams that the forward graph saves besides its outputs;
    ``places`` says where the backward graph finds each ``saved.<k>``, and each state before its
    steps (``prev.<state>``), or after them where that stream is there anyway (``next.<state>``);
    ``state_places`` which output or input holds each state after every step, if one does.
    One step of one example saves ``step_elements`` numbers; ``state_elements`` are those of
    the states that no stream holds, ``first_elements`` those of the states whose saved streams
    begin a step early (delayed.py).
    """

    forward_plan: Plan
    backward_plan: Plan
    shared: Graph
    kept: tuple[Type, ...]
    kept_results: tuple[int, ...]  # positions among the forward graph's OUTPUT results
    places: dict[str, Place]
    state_places: tuple[Place | None, ...]
    step_elements: int
    state_elements: int
    first_elements: int

    @property
    def forward(self) -> Graph:
        return self.forward_plan.graph

    @property
    def backward(self) -> Graph:
        return self.backward_plan.graph

    @cached_property
    def formed(self) -> bool:
        """Whether PyTorch runs a recurrence of the plans in another form than steps."""
        plans = (with_forms(plan, "torch") for plan in (self.forward_plan, self.backward_plan))
        return any(stage.form != STEPS for plan in plans for stage in plan.stages)

    @cached_property
    def output_gradients(self) -> tuple[str, ...]:
        return _names(self.backward, ResultRole.OUTPUT)

    @cached_property
    def state_gradients(self) -> tuple[str, ...]:
        return _names(self.backward, ResultRole.STATE)

    @cached_property
    def sum_gradients(self) -> tuple[str, ...]:
        return _names(self.backward, ResultRole.SUM)


def _names(graph: Graph, role: ResultRole) -> tuple[str, ...]:
    return tuple(result.name for result in graph.results_of(role))


def differentiate_program(program: SequenceProgram, wanted: frozenset[str]) -> ProgramDerivative:
    """The derivative with respect to ``wanted`` inputs and parameters, and all states."""
    made_of = [program.text, sorted(wanted)]
    return kept_with_kernels(
        program.backend, "derivative", made_of, lambda: _differentiated(program, wanted)
    )


def _differentiated(program: SequenceProgram, wanted: frozenset[str]) -> ProgramDerivative:
    needed = wanted | _derived_from(program, wanted)
    save = save_cheapest if program.recompute == CHEAP else save_least
    found = differentiate(program.step, save, needed)
    forward = run_pipeline(found.forward, PIPELINES["final"])
    backward = run_pipeline(found.backward, PIPELINES["backward"])
    in_parts = {entry.name for entry in joined_params(program.prepare)}  # not all engines join them
    made = program.derived - in_parts
    shared = run_pipeline(differentiate_shared(program.prepare, made), PIPELINES["final"])
    count = len(program.outputs)
    forward = _saving_states_before(forward, count)
    results = forward.results_of(ResultRole.OUTPUT)
    inputs = list(program.inputs)
    homes: dict[int, Place] = {}
    for index, result in enumerate(results[:count]):
        homes.setdefault(result.value, Place("output", index))
    kept: list[int] = []
    places: dict[str, Place] = {}
    for position, result in enumerate(results[count:], start=count):
        leaf = forward.definition(result.value)
        if not isinstance(leaf, Node) and leaf.role is LeafRole.INPUT:
            homes[result.value] = Place("input", inputs.index(leaf.name))
        if result.value not in homes:
            homes[result.value] = Place("saved", len(kept))
            kept.append(position)
        places[result.name] = homes[result.value]
    types = tuple(forward.type_of(results[position].value) for position in kept)
    held = _state_places(program, forward)
    sizes = [prod(kind.sizes) for kind in program.states.values()]
    unheld = sum(size for size, place in zip(sizes, held, strict=True) if place is None)
    saved = sum(prod(kind.sizes) for kind in types)
    late = {
        place.index
        for name, place in places.items()
        if name.startswith("next.") and place.group == "saved"
    }
    first = sum(prod(types[index].sizes) for index in late)
    plans = program.plan(forward), program.plan(backward, back=True)
    return ProgramDerivative(*plans, shared, types, tuple(kept), places, held, saved, unheld, first)


def _saving_states_before(forward: Graph, outputs: int) -> Graph:
    """The forward graph, saving states as they are before a step where nothing else wants them
    after it: so the backward pass need not move them by a step."""
    results = list(forward.results)
    streams = [k for k, result in enumerate(results) if result.role is ResultRole.OUTPUT]
    uses = Counter(results[k].value for k in streams)
    for k in streams[outputs:]:
        kind, _, state = results[k].name.partition(".")
        is_input = isinstance(forward.definition(results[k].value), Leaf)
        if kind == "next" and uses[results[k].value] == 1 and not is_input:
            leaf = forward.leaf_index(state, LeafRole.STATE)
            results[k] = replace(results[k], name=f"prev.{state}", value=leaf)
    return replace(forward, results=tuple(results))


def _state_places(program: SequenceProgram, forward: Graph) -> tuple[Place | None, ...]:
    """For each state the output or input that holds it after every step, or None."""
    outputs = forward.results_of(ResultRole.OUTPUT)[: len(program.outputs)]
    held = {r.value: Place("output", index) for index, r in reversed(list(enumerate(outputs)))}
    inputs = list(program.inputs)
    places: list[Place | None] = []
    for result in forward.results_of(ResultRole.STATE):
        found = forward.definition(result.value)
        if not isinstance(found, Node) and found.role is LeafRole.INPUT:
            places.append(Place("input", inputs.index(found.name)))
        else:
            places.append(held.get(result.value))
    return tuple(places)


def _derived_from(program: SequenceProgram, wanted: frozenset[str]) -> frozenset[str]:
    """The derived parameters that depend on a wanted parameter."""
    graph = program.prepare
    depends = [leaf.name in wanted for leaf in graph.leaves]
    for node in graph.nodes:
        depends.append(any(depends[v] for v in node.operands))
    return frozenset(
        r.name for r in graph.results if depends[r.value] and r.name in program.derived
    )
