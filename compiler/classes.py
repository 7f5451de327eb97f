"""Recurrence classes: what each scan of a plan is in its states, proved from the graph.

The proof goes value by value: how a value depends on the states of its scan before the step.
It reads the forward equations alone; derivatives would not do, since ops such as `round` and
`stop_grad` declare ones that hide a dependence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from rnndsl.compiler.dependence import Dependence, dependences
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind
from rnndsl.source import Span


class Recurrence(Enum):
    """What a scan is in its states."""

    EMPTY = "empty"  # states that keep their value, or none
    TIME_INVARIANT = "linear, time-invariant"
    INPUT_DEPENDENT = "linear, input-dependent"
    ELEMENTWISE = "elementwise, not linear"
    MATRIX = "not linear, mixes elements"


class Structure(Enum):
    """Which elements of the states before a step an element after it depends on."""

    DIAGONAL = "diagonal"  # its own place, in one state
    COUPLED = "diagonal between states"  # its own place, in several states
    ONE_SIDED = "one-sided matrix"  # along some axes its own place, along others all
    DENSE = "dense"


@dataclass(frozen=True, slots=True)
class ScanClass:
    """The class of one scan of a plan.

    ``stage`` is its index in the plan.  ``maximum``: linear in (max, +) arithmetic, where a
    running maximum is a sum.  ``mixed`` are the state's axes along which elements mix.
    ``cause`` is the value that decides: the first op that is not linear in the states, or for
    a linear scan that depends on the input the first factor that does; ``span`` is its place.
    """

    stage: int
    states: tuple[str, ...]
    recurrence: Recurrence
    structure: Structure
    maximum: bool
    mixed: tuple[int, ...]
    reason: str
    cause: int | None = None
    span: Span | None = None

    @property
    def linear(self) -> bool:
        return self.recurrence in (Recurrence.TIME_INVARIANT, Recurrence.INPUT_DEPENDENT)

    def text(self, locate: Callable[[Span], str] | None = None) -> str:
        """One line; ``locate`` turns a span into file, line and column."""
        words = self.recurrence.value
        if self.maximum:
            words += " in (max, +)"
        if self.linear or self.recurrence is Recurrence.MATRIX:
            words += f"; {self.structure.value}"
        where = f" ({locate(self.span)})" if self.span is not None and locate else ""
        return f"{words}: {self.reason}{where}"


def classify(plan: Plan) -> tuple[ScanClass, ...]:
    """The class of every scan of a plan, in order; dimensions need no sizes."""
    return tuple(
        classify_scan(plan.graph, stage, index)
        for index, stage in enumerate(plan.stages)
        if stage.kind is StageKind.SCAN
    )


def classify_scan(graph: Graph, stage: Stage, index: int = 0) -> ScanClass:
    """The class of one scan."""
    if not stage.values:
        reason = "the state keeps its value"
        return ScanClass(
            index, stage.states, Recurrence.EMPTY, Structure.DIAGONAL, False, (), reason
        )
    after = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    found = dependences(graph, stage)
    last = [found[after[name]] for name in stage.states]
    structure, mixed = _structure(graph, stage, last)
    usual, maximum = (all(getattr(d, a).linear for d in last) for a in ("usual", "maximum"))
    if not (usual or maximum):
        alone = structure in (Structure.DIAGONAL, Structure.COUPLED)
        kind = Recurrence.ELEMENTWISE if alone else Recurrence.MATRIX
        cause = min(v for d in last if (v := d.usual.cause) is not None)
        reason = f"{_named(graph, cause)} is not linear in {_listed(graph, cause, found)}"
        span = graph.definition(cause).span
        return ScanClass(index, stage.states, kind, structure, False, mixed, reason, cause, span)
    parts = [d.usual if usual else d.maximum for d in last]
    factors = [v for part in parts if (v := part.varying) is not None]
    if not factors:
        kind, cause_value, reason = Recurrence.TIME_INVARIANT, None, "its factors never change"
    else:
        kind, cause_value = Recurrence.INPUT_DEPENDENT, min(factors)
        reason = f"the factor {_named(graph, cause_value)} changes from step to step"
    span = None if cause_value is None else graph.definition(cause_value).span
    return ScanClass(
        index, stage.states, kind, structure, not usual, mixed, reason, cause_value, span
    )


def _structure(
    graph: Graph, stage: Stage, last: Sequence[Dependence]
) -> tuple[Structure, tuple[int, ...]]:
    """How places mix, and the axes of the first state along which they do."""
    shapes = {
        name: graph.leaves[graph.leaf_index(name, LeafRole.STATE)].type.shape
        for name in stage.states
    }
    mixed: set[int] = set()
    for name, dependence in zip(stage.states, last, strict=True):
        for other, axes in dependence.reaches.items():
            if len(shapes[name]) != len(shapes[other]):
                return Structure.DENSE, tuple(range(len(shapes[stage.states[0]])))
            mixed |= {axis for axis, found in enumerate(axes) if found != axis}
    if not mixed:
        return (Structure.DIAGONAL if len(stage.states) == 1 else Structure.COUPLED), ()
    rank = len(shapes[stage.states[0]])
    one_sided = len(stage.states) == 1 and len(mixed) < rank
    return (Structure.ONE_SIDED if one_sided else Structure.DENSE), tuple(sorted(mixed))


def _named(graph: Graph, value: int) -> str:
    node = graph.definition(value)
    name = f"`{node.name}`" if node.name else f"%{value}"
    return f"{name} = {node.op}" if isinstance(node, Node) else name


def _listed(graph: Graph, value: int, found: dict[int, Dependence]) -> str:
    node = graph.definition(value)
    assert isinstance(node, Node)
    states = {s for v in node.operands if v in found for s in found[v].reaches}
    return ", ".join(f"`{name}`" for name in sorted(states)) or "the state"
