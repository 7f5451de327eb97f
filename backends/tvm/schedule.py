"""From a plan to steps: what is computed together, in which order, and where it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from rnndsl.backends.tvm.in_place import updated_in_place
from rnndsl.backends.tvm.lower_names import CONSTANT_OPS, VIEW_OPS
from rnndsl.backends.tvm.views import root
from rnndsl.compiler.ir import Leaf, LeafRole, Node, Result, ResultRole
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.plan import Plan, Stage, StageKind

BEFORE = -1  # the phase of shared values, which are computed once


class StepKind(Enum):
    """What a step does."""

    GROUP = "group"  # elementwise nodes of one shape, and their sums, in one loop nest
    NODE = "node"  # one node with a loop nest of its own
    DELAY = "delay"  # a state on no cycle: its result, one time step later
    KEEP = "keep"  # a state's value before the step, kept for later stages


@dataclass(frozen=True, slots=True)
class Step:
    """Values computed by one loop nest."""

    kind: StepKind
    values: tuple[int, ...]


class Storage(Enum):
    """Where a value is kept."""

    SHARED = "shared"  # one for the whole call
    TOTAL = "total"  # in the caller's array of a total, which it is added to
    PART = "part"  # one for each part of the call, of which the first becomes their sum
    BLOCK = "block"  # for the rows of one block, until the stage ends
    STATE = "state"  # in the caller's array of a state that it is the next value of
    STREAM = "stream"  # for every time step
    OUTPUT = "output"  # in the caller's array


@dataclass(frozen=True, slots=True)
class Part:
    """Memory within that of ``whole``, from ``offset`` on along the first axis."""

    whole: int
    offset: int


@dataclass(frozen=True, slots=True)
class StageSteps:
    """One stage: its steps, and the outputs that are copies of values kept elsewhere.

    ``sums`` are products summed over all rows, once these are all there.  ``swapped`` are the
    states of a scan whose next value is read from a state of the scan: they are copied aside
    before any state is overwritten.
    """

    kind: StageKind
    steps: tuple[Step, ...]
    sums: tuple[Step, ...]
    states: tuple[str, ...]
    swapped: tuple[str, ...]
    copies: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that is computed: once before, stage by stage, once after (from totals)."""

    before: tuple[Step, ...]
    stages: tuple[StageSteps, ...]
    after: tuple[Step, ...]
    totals: tuple[int, ...]  # nodes that sum over batch and time
    storage: dict[int, Storage]
    parts: dict[int, Part]  # values without memory of their own
    outputs: dict[int, str]  # the output that holds a value of OUTPUT storage
    in_place: dict[int, tuple[str, ...]]  # values stored over states when they are computed
    late: frozenset[int]  # shared values that are totals, or follow from them

    def is_late(self, value: int) -> bool:
        """Whether a shared value is a total over time already."""
        return value in self.late


def is_total(node: Node) -> bool:
    """Whether a node sums over batch and time."""
    return node.op == "batch_sum" or (node.op == "contract" and bool(node.attr("sum_batch")))


def schedule(plan: Plan) -> Schedule:
    """Steps and storage for a plan."""
    return _Scheduler(plan).run()


class _Scheduler:
    """The tables that scheduling fills, one plan long."""

    def __init__(self, plan: Plan) -> None:
        self.graph = plan.graph
        # Outputs that are copies of inputs need a stage too.
        self.stages = plan.stages or (Stage(StageKind.PARALLEL, (), ()),)
        self.next_of = {
            self.graph.leaf_index(r.name, LeafRole.STATE): r.value
            for r in self.graph.results_of(ResultRole.STATE)
        }
        self.after = len(self.stages)
        self.late = frozenset(self._late())
        self.phase: dict[int, int] = dict(self._phases())

    def _late(self) -> set[int]:
        late: set[int] = set()
        for value, node in self.graph.node_values():
            if not node.type.batched and (is_total(node) or late & set(node.operands)):
                late.add(value)
        return late

    def _phases(self) -> Iterator[tuple[int, int]]:
        """The stage in which each value that has memory is computed."""
        stage_of = {v: s for s, stage in enumerate(self.stages) for v in stage.values}
        for value, node in self.graph.node_values():
            if node.op in VIEW_OPS | CONSTANT_OPS:
                continue
            if node.type.batched or is_total(node):
                yield value, stage_of[value]
            else:
                yield value, self.after if value in self.late else BEFORE
        for s, stage in enumerate(self.stages):
            for name in stage.states:
                yield self.graph.leaf_index(name, LeafRole.STATE), s

    @cached_property
    def totals(self) -> tuple[int, ...]:
        return tuple(v for v, node in self.graph.node_values() if is_total(node))

    def run(self) -> Schedule:
        steps = [self._steps(s) for s in range(len(self.stages))]
        before, after = self._steps(BEFORE), self._steps(self.after)
        stored, crossing = self._demands([*steps, after, before])
        steps = [self._with_kept(s, found, crossing) for s, found in enumerate(steps)]
        outputs, copies = self._outputs()
        storage = {}
        for value in stored | crossing | outputs.keys():
            storage[value] = self._storage(value, crossing, outputs)
        parts = self._parts(storage)
        in_place = self._in_place(steps, copies)
        for value in in_place:
            if storage[value] is Storage.BLOCK and value not in parts:
                storage[value] = Storage.STATE
        for value in sorted(parts, reverse=True):
            storage[value] = storage[parts[value].whole]
        stages = tuple(
            StageSteps(
                stage.kind,
                tuple(step for step in steps[s] if not self._is_sum(step)),
                tuple(step for step in steps[s] if self._is_sum(step)),
                stage.states,
                tuple(name for name in stage.states if self._is_swapped(name)),
                tuple(copies.get(s, ())),
            )
            for s, stage in enumerate(self.stages)
        )
        return Schedule(
            tuple(before),
            stages,
            tuple(after),
            self.totals,
            storage,
            parts,
            outputs,
            in_place,
            self.late,
        )

    def _in_place(
        self, steps: list[list[Step]], copies: dict[int, list[Result]]
    ) -> dict[int, tuple[str, ...]]:
        """Values of scans stored over states, with the names of the states."""
        found: dict[int, tuple[str, ...]] = {}
        for s, stage in enumerate(self.stages):
            if stage.kind is StageKind.SCAN:
                leaves = [self.graph.leaf_index(name, LeafRole.STATE) for name in stage.states]
                groups = [step.values for step in steps[s] if step.kind is StepKind.GROUP]
                known = updated_in_place(
                    self.graph,
                    [step.values for step in steps[s] if step.kind is not StepKind.KEEP],
                    {leaf: self.next_of[leaf] for leaf in leaves},
                    [result.value for result in copies.get(s, ())],
                )
                for value, states in known.items():
                    if any(value in group for group in groups):
                        found[value] = tuple(self.graph.leaves[leaf].name for leaf in states)
        return found

    def _storage(self, value: int, crossing: set[int], outputs: dict[int, str]) -> Storage:
        if value in outputs:
            return Storage.OUTPUT
        if not self.graph.type_of(value).batched:
            found = self.graph.definition(value)
            apart = isinstance(found, Node) and found.op == "batch_sum"
            return Storage.PART if apart else Storage.SHARED
        return Storage.STREAM if value in crossing else Storage.BLOCK

    def _parts(self, storage: dict[int, Storage]) -> dict[int, Part]:
        """Values that are computed where a concat wants them."""
        parts: dict[int, Part] = {}
        for value, node in self.graph.node_values():
            if node.op != "concat" or node.attr("axis") != 0 or value not in storage:
                continue
            offset = 0
            for operand in node.operands:
                if operand not in parts and self._fits(operand, value, storage):
                    parts[operand] = Part(value, offset)
                offset += self.graph.type_of(operand).sizes[0]
        return parts

    def _fits(self, part: int, whole: int, storage: dict[int, Storage]) -> bool:
        """Whether a value can lie where a concat of it does."""
        if self.phase.get(part) != self.phase[whole] or not self._is_node(part):
            return False
        kept = storage.get(part, Storage.BLOCK)
        return kept is Storage.BLOCK or kept is storage[whole] is not Storage.OUTPUT

    # ------------------------------------------------------------------ order and fusion

    def _is_sum(self, step: Step) -> bool:
        found = self.graph.definition(step.values[0])
        return isinstance(found, Node) and found.op == "contract" and is_total(found)

    def _steps(self, phase: int) -> list[Step]:
        """The values of a phase in an order that respects their operands, in groups."""
        todo = [v for v, p in sorted(self.phase.items()) if p == phase and not self._held(v)]
        waiting, steps = set(todo), list[Step]()
        while todo:
            ready = [v for v in todo if not self._needs(v) & waiting]
            alone = [v for v in ready if not self._is_elementwise(v)]
            if alone:
                found = Step(self._kind(alone[0]), (alone[0],))
            else:
                found = Step(StepKind.GROUP, self._group(ready[0], todo, waiting))
            steps.append(found)
            waiting -= set(found.values)
            todo = [v for v in todo if v in waiting]
        return steps

    def _held(self, value: int) -> bool:
        """Whether a value is there without a step: a state of a scan."""
        found = self.graph.definition(value)
        return isinstance(found, Leaf) and self.stages[self.phase[value]].kind is StageKind.SCAN

    def _is_swapped(self, name: str) -> bool:
        read = root(self.graph, self.next_of[self.graph.leaf_index(name, LeafRole.STATE)])
        return read in self.phase and not self._is_node(read) and self._held(read)

    def _kind(self, value: int) -> StepKind:
        return StepKind.NODE if self._is_node(value) else StepKind.DELAY

    def _is_node(self, value: int) -> bool:
        return isinstance(self.graph.definition(value), Node)

    def _is_elementwise(self, value: int) -> bool:
        found = self.graph.definition(value)
        return isinstance(found, Node) and OPS[found.op].elementwise

    def _reads(self, value: int) -> list[tuple[int, int]]:
        """Operands of a value with their roots, constants left out."""
        found = self.graph.definition(value)
        operands = found.operands if isinstance(found, Node) else (self.next_of[value],)
        pairs = ((v, root(self.graph, v)) for v in operands)
        return [(v, r) for v, r in pairs if r is not None]

    def _needs(self, value: int) -> set[int]:
        return {r for _, r in self._reads(value)}

    def _group(self, first: int, todo: Iterable[int], waiting: set[int]) -> tuple[int, ...]:
        """All elementwise values of one shape that need only what is there, or each other, and
        their sums over batch and time."""
        group: list[int] = []
        shape = self.graph.type_of(first)
        for value in todo:
            if self._is_sum_of(value, group):
                group.append(value)
            if not self._is_elementwise(value) or self.graph.type_of(value) != shape:
                continue
            # A view of a member is not there before the loop nest ends.
            reads = self._reads(value)
            if all(r not in waiting or (r in group and v == r) for v, r in reads):
                group.append(value)
        return tuple(group)

    def _is_sum_of(self, value: int, group: Iterable[int]) -> bool:
        """Whether a value sums up one of a group, as each element of that is computed."""
        found = self.graph.definition(value)
        return isinstance(found, Node) and found.op == "batch_sum" and found.operands[0] in group

    # ------------------------------------------------------------------ memory

    def _demands(self, phases: list[list[Step]]) -> tuple[set[int], set[int]]:
        """Values that need memory, and those that need it for every time step."""
        stored, crossing = set[int](), set[int]()

        def demand(value: int, reader: int | None, group: tuple[int, ...] = ()) -> None:
            found = root(self.graph, value)
            if found is None or found not in self.phase:
                return
            if self.phase[found] != reader and self.graph.type_of(found).batched:
                crossing.add(found)
            if not (found in group and value == found) and not self._held(found):
                stored.add(found)

        for steps in phases:
            for step in steps:
                for value in step.values:
                    if step.kind is StepKind.DELAY:
                        demand(self.next_of[value], None)
                        stored.add(value)
                    elif step.kind is StepKind.NODE:
                        stored.add(value)
                    # Sums read all rows at once, so these must all be there.
                    reader = None if self._is_sum(step) else self.phase[value]
                    for operand, _ in self._reads(value) if self._is_node(value) else ():
                        demand(operand, reader, step.values)
        for result in self.graph.results:
            demand(result.value, self._reader(result))
        return stored, crossing

    def _reader(self, result: Result) -> int | None:
        """The stage that reads a result in order to hand it out."""
        if result.role is ResultRole.STATE:
            stage = self.phase[self.graph.leaf_index(result.name, LeafRole.STATE)]
            return stage if self.stages[stage].kind is StageKind.SCAN else None
        found = root(self.graph, result.value)
        return self.phase.get(found, 0) if found is not None else 0

    def _with_kept(self, stage: int, steps: list[Step], crossing: set[int]) -> list[Step]:
        kept = [
            Step(StepKind.KEEP, (value,))
            for value in sorted(crossing)
            if self.phase[value] == stage and not self._is_node(value) and self._held(value)
        ]
        return kept + steps

    def _outputs(self) -> tuple[dict[int, str], dict[int, list[Result]]]:
        """Values computed straight into an output, and the outputs that are copies, by stage."""
        held: dict[int, str] = {}
        copies: dict[int, list[Result]] = {}
        for result in self.graph.results_of(ResultRole.OUTPUT):
            value = result.value
            computed = value in self.phase and self._is_node(value)
            if computed and self.graph.type_of(value).batched and value not in held:
                held[value] = result.name
            else:
                copies.setdefault(max(self._reader(result) or 0, 0), []).append(result)
        return held, copies
