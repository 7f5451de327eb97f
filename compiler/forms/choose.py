"""Which form each scan of a plan takes: what is possible, what was asked for, what is cheap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from rnndsl.compiler.classes import Recurrence, ScanClass, classify_scan
from rnndsl.compiler.forms.delta import find_delta
from rnndsl.compiler.forms.normal import can_normalise, normalise
from rnndsl.compiler.forms.scan_map import MapKind, ScanMap, scan_map
from rnndsl.compiler.ir import Graph, LeafRole, Node
from rnndsl.compiler.plan import Plan, Stage, StageKind
from rnndsl.compiler.split import split
from rnndsl.source import Span

STEPS, CHUNKED, CONVOLUTION, AUTO = "steps", "chunked", "convolution", "auto"
FORMS: Mapping[str, str] = {
    AUTO: "the cheapest that is possible",
    STEPS: "one time step after the other",
    CHUNKED: "blocks of time side by side, then a scan over the blocks",
    CONVOLUTION: "one convolution over all time, by Fourier transforms",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a scan has no such form, and where in the user's file that is decided."""

    states: tuple[str, ...]
    reason: str
    span: Span | None = None


def refusal(graph: Graph, stage: Stage, found: ScanClass, form: str) -> Refusal | None:
    """Why a scan cannot take a form; None if it can."""
    if form == STEPS:
        return None
    if not found.linear:
        return Refusal(stage.states, found.reason, found.span)
    if form == CONVOLUTION and found.recurrence is not Recurrence.TIME_INVARIANT:
        return Refusal(stage.states, found.reason, found.span)
    if form == CONVOLUTION and found.maximum:
        return Refusal(stage.states, "a running maximum has no Fourier transform", found.span)
    if form == CHUNKED and find_delta(graph, stage) is not None:
        return None
    mapped = scan_map(graph, stage)
    if mapped is None and not can_normalise(graph, stage, found):
        reason = f"it is {found.structure.value}, and its map is not one product and one sum"
        return Refusal(stage.states, reason, found.span)
    is_dense = mapped is not None and mapped.kind is MapKind.DENSE
    if form == CONVOLUTION and mapped and is_dense and rank_one(graph, mapped) is None:
        reason = "its addend is not a number times a vector of parameters"
        return Refusal(stage.states, reason, graph.definition(mapped.addend).span)
    return None


def rank_one(graph: Graph, found: ScanMap) -> tuple[int, int] | None:
    """For a dense map: the stream and the shared vector whose products its addend is."""
    node = graph.definition(found.addend)
    if not isinstance(node, Node) or node.op != "contract":
        return None
    spec = str(node.attr("spec"))
    inputs, _, output = spec.partition("->")
    left, _, right = inputs.partition(",")
    (a, b) = node.operands
    for stream, vector, letters, rest in ((a, b, right, left), (b, a, left, right)):
        shared = not graph.type_of(vector).batched and graph.type_of(stream).batched
        if shared and letters == output[found.axis] and rest == output.replace(letters, ""):
            return stream, vector
    return None


def with_forms(plan: Plan, backend: str) -> Plan:
    """The plan with the form of each scan chosen, in normal form where that is not steps.

    A scan that cannot take the form asked for takes the next best; :func:`check_form` tells
    whether any can.  Dimensions must be bound.
    """
    if plan.form == STEPS or not any(s.kind is StageKind.SCAN for s in plan.stages):
        return plan
    graph = normalise(plan)
    changed = plan if graph is plan.graph else split(graph, plan.reverse)
    stages = tuple(
        replace(stage, form=_form_of(graph, stage, plan.form, backend))
        if stage.kind is StageKind.SCAN
        else stage
        for stage in changed.stages
    )
    if all(stage.form == STEPS for stage in stages):
        return plan  # steps are cheapest as they were written
    return replace(changed, stages=stages, form=plan.form)


def check_form(plan: Plan, form: str) -> tuple[Refusal, ...]:
    """Empty if a scan of the plan can take the form, else why each cannot."""
    found = []
    for stage in plan.stages:
        if stage.kind is StageKind.SCAN:
            why = refusal(plan.graph, stage, classify_scan(plan.graph, stage), form)
            if why is None:
                return ()
            found.append(why)
    return tuple(found)


def _form_of(graph: Graph, stage: Stage, form: str, backend: str) -> str:
    """The form of one scan of a graph in normal form."""
    mapped = scan_map(graph, stage)
    if mapped is None:
        return STEPS
    if form == AUTO:
        return cheapest(graph, mapped, backend)
    found = classify_scan(graph, stage)
    wanted = (form, CHUNKED, STEPS)
    return next(f for f in wanted if refusal(graph, stage, found, f) is None)


def cheapest(graph: Graph, mapped: ScanMap, backend: str) -> str:
    """By the cost model: seconds for each time step of one example."""
    costs = predicted(graph, mapped, backend)
    return min(costs, key=lambda form: costs[form])


# Measured on one core: seconds of one call of an operation, and of one element of a pass.
_CALL = {"torch": 2.5e-6, "tvm": 0.0}
_ELEMENT = {"torch": 0.6e-9, "tvm": 0.35e-9}
_BLOCK = 64


def predicted(graph: Graph, mapped: ScanMap, backend: str) -> dict[str, float]:
    """Seconds per time step of each form that a scan in normal form can take, for one example.

    Steps of generated PyTorch code cost calls, whatever they compute; chunks cost as many
    calls for a whole block, and go through the elements twice.
    """
    elements = prod(graph.type_of(mapped.leaf).sizes)
    work = elements * _ELEMENT[backend]
    calls = _CALL[backend]
    if mapped.kind is MapKind.DENSE:
        work *= graph.type_of(mapped.leaf).sizes[mapped.axis] / 4
    steps = 4 * calls + 3 * work
    if backend == "tvm":
        return {STEPS: steps}  # its loop over time costs no calls: nothing beats it
    return {STEPS: steps, CHUNKED: 6 * calls / _BLOCK + 5 * work}


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a cell with matrix states runs in blocks.

    ``length`` are the steps of a block; ``without_gradients``: also where none is wanted.
    In training a block costs as much as ``block`` steps do (see :func:`blocks_for`).
    ``elements`` are the numbers that a step leaves for one example, ``spare`` the bytes that
    steps may leave before they cost that much.
    """

    length: int
    without_gradients: bool
    block: float
    elements: int
    spare: int

    def take_rest(self, steps: int, bytes_of_element: int) -> bool:
        """Whether in training a sequence of so many steps should get padding up to a whole
        block, rather than take the rest in steps.

        ``bytes_of_element`` are those of one number of each example of the batch.
        """
        # Not divmod: while a call is traced, its steps are a symbol.
        whole, rest = steps // self.length, steps % self.length
        left = rest * self.elements * bytes_of_element
        return left > self.spare and rest > self.block * (1 + whole * _FLAGS)


# Seconds of a floating-point operation of the steps and of the products of blocks, and of a
# byte of the states that steps leave for the backward pass; measured on one core.
_STEP_FLOP = {"torch": 0.2e-9, "tvm": 0.02e-9}
_BLOCK_FLOP = {"torch": 0.05e-9, "tvm": 0.03e-9}
_SAVED_BYTE = {"torch": 0.5e-9, "tvm": 0.1e-9}
# Bytes of states that cost less, since they stay in the cache and in memory that was there
# before: the GNU C library maps arrays of more than 32 MiB anew in each call.
_SPARE = {"torch": 4 << 20, "tvm": 32 << 20}
# What flags for padding add to each block, as a part of it.
_FLAGS = 1 / 16
# Steps of a block at most: where calls cost nothing, shorter ones have less to multiply, and are
# there for shorter sequences.  Where a block is put together of halves, each doubling is another
# pass through it.
_LONGEST = {"torch": 64, "tvm": 32}
_LONGEST_BY_HALVES = {"torch": 64, "tvm": 16}


def blocks_for(graph: Graph, states: Mapping[str, bool], form: str, backend: str) -> Blocks | None:
    """The blocks of a bound graph with such matrix states, as :func:`matrix_states` finds them;
    None where steps are cheaper.

    Within a block a step costs two products with as many vectors as the block has, beside the
    products with the state before it; so blocks are about as long as the state is wide.  Steps
    touch the whole state twice, and leave it for the backward pass at every step.
    """
    if form == STEPS or not states:
        return None
    shapes = [graph.type_of(graph.leaf_index(name, LeafRole.STATE)).sizes for name in states]
    widest = max(max(shape[-2:]) for shape in shapes)
    longest = (_LONGEST_BY_HALVES if any(states.values()) else _LONGEST)[backend]
    length = min(max(1 << (widest - 1).bit_length(), 16), longest)
    elements = sum(prod(shape) for shape in shapes)
    rows = sum(prod(shape[:-2]) * sum(shape[-2:]) for shape in shapes)
    steps = 4 * elements * _STEP_FLOP[backend] + 8 * _CALL[backend]
    blocks = (4 * elements + 2 * length * rows) * _BLOCK_FLOP[backend]
    blocks += 30 * _CALL[backend] / length
    training = 3 * steps + 4 * 4 * elements * _SAVED_BYTE[backend]
    if form == AUTO and training < 3 * blocks:
        return None
    always = form == CHUNKED or blocks < steps
    block = 3 * blocks * length / training
    return Blocks(length, always, block, elements, _SPARE[backend])
