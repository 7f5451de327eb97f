"""The loop nests of an arranged plan: what each computes and moves, and why it ends there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from rnndsl.backends.tvm.arranging import Arrangement, arrange
from rnndsl.backends.tvm.schedule import Step, StepKind, Storage
from rnndsl.backends.tvm.sharing import sharing
from rnndsl.backends.tvm.views import root
from rnndsl.backends.tvm.work import is_in_pieces, is_joined_in_place
from rnndsl.compiler.cost import Prediction, Rates, StageWork, Work, predict
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole
from rnndsl.compiler.ops import OPS, node_flops
from rnndsl.compiler.plan import Plan, StageKind

_FLOAT = 4
_REDUCTIONS = frozenset(
    {"reduce_sum", "reduce_max", "argmax", "batch_sum"}
    | {"cumsum", "cummax", "linear_scan", "max_scan"}
)


@dataclass(frozen=True, slots=True)
class Group:
    """One loop nest: the values that it computes, those of them that it stores, what that
    takes for one example and time step, and why nothing more is computed in it."""

    kind: str
    values: tuple[int, ...]
    stored: tuple[int, ...]
    work: Work
    ends: str


@dataclass(frozen=True, slots=True)
class _Late:
    """What the next time step does with a value; ``needs_all`` if that begins with all of it."""

    text: str
    needs_all: bool


def groups_of(arranged: Arrangement) -> tuple[tuple[Group, ...], ...]:
    """The loop nests of every stage, in order."""
    finder = _Finder(arranged)
    return tuple(
        tuple(finder.group(step, position) for step in (*stage.steps, *stage.sums))
        for position, stage in enumerate(arranged.schedule.stages)
    )


def work_of(arranged: Arrangement) -> tuple[StageWork, ...]:
    """What :func:`cost.predict` takes."""
    finder, graph = _Finder(arranged), arranged.plan.graph
    found = []
    for position, stage in enumerate(arranged.schedule.stages):
        steps = (*stage.steps, *stage.sums)
        loops = tuple(finder.work(step, position) for step in steps)
        shares = sharing(graph, arranged.schedule, stage)
        runs = shares.runs if shares else ()
        together = {step for run in runs if run.is_shared for step in run.steps}
        split = tuple(step in together for step in steps if shares)
        if is_in_pieces(graph, arranged.schedule, stage):
            split = tuple(step in stage.steps for step in steps)
        waits = shares.waits if shares else 0
        found.append(StageWork(stage.kind is StageKind.SCAN, loops, split, waits))
    return tuple(found)


def predict_plan(plan: Plan, rates: Rates, steps: int, batch: int) -> Prediction:
    """How long a plan over a bound graph takes on one thread, for T and B."""
    return predict(work_of(arrange(plan)), rates, steps, batch)


class _Finder:
    """Answers for one arranged plan, which it has gone through once."""

    def __init__(self, arranged: Arrangement) -> None:
        self.arranged, self.graph = arranged, arranged.plan.graph
        self.schedule = arranged.schedule
        self.step_of: dict[int, tuple[int, int]] = {}
        for s, stage in enumerate(self.schedule.stages):
            for k, step in enumerate((*stage.steps, *stage.sums)):
                if step.kind is not StepKind.KEEP:
                    self.step_of |= dict.fromkeys(step.values, (s, k))
        self.readers = _readers(self.graph)
        self.states = states_after(self.graph)

    def group(self, step: Step, stage: int) -> Group:
        kind = self._kind(step)
        stored = tuple(v for v in step.values if v in self.schedule.storage)
        return Group(kind, step.values, stored, self.work(step, stage), self._ends(step, stage))

    def _kind(self, step: Step) -> str:
        if step.kind is StepKind.DELAY:
            return "delay"
        if step.kind is StepKind.KEEP:
            return "copy"
        node = self.graph.definition(step.values[0])
        assert isinstance(node, Node)
        if step.kind is StepKind.GROUP:
            return "loop"
        if node.op == "contract":
            return "sum of products over batch and time" if node.attr("sum_batch") else "product"
        return node.op

    # -------------------------------------------------------------------------------- work

    def work(self, step: Step, stage: int) -> Work:
        """What a loop nest does for one example and time step."""
        if is_joined_in_place(self.graph, self.schedule, step.values[0]):
            return Work()
        products = elements = 0
        for node in self._nodes(step):
            flops = node_flops(self.graph, node)
            if node.op == "contract":
                products += flops
            else:
                elements += flops
        streamed = kept = shared = 0
        for value in self._sources(step):
            size = self._size(value)
            if not self.graph.type_of(value).batched:
                shared += size
            elif self._is_near(value, stage):
                kept += size
            else:
                streamed += size
        for value in step.values:
            storage = self.schedule.storage.get(value)
            if storage in (Storage.STREAM, Storage.OUTPUT):
                streamed += self._size(value)
            elif storage in (Storage.BLOCK, Storage.STATE):
                kept += self._size(value)
        return Work(products, elements, streamed, kept, shared)

    def _nodes(self, step: Step) -> Iterator[Node]:
        for value in step.values:
            found = self.graph.definition(value)
            if isinstance(found, Node):
                yield found

    def _sources(self, step: Step) -> set[int]:
        """The values whose memory a loop nest reads."""
        read = {v for n in self._nodes(step) for v in n.operands if v not in step.values}
        found = {root(self.graph, v) for v in read}
        return {v for v in found if v is not None}

    def _is_near(self, value: int, stage: int) -> bool:
        """Whether a value was just computed, or is a state of the present scan."""
        if value in self.step_of:
            return self.step_of[value][0] == stage
        found = self.graph.definition(value)
        return isinstance(found, Leaf) and found.role is LeafRole.STATE

    def _size(self, value: int) -> int:
        return _FLOAT * prod(self.graph.type_of(value).sizes)

    # ------------------------------------------------------------------------------ reasons

    def _ends(self, step: Step, stage: int) -> str:
        """The reason of the first loop nest that reads what this one computes."""
        if step.kind is not StepKind.GROUP:
            return self._alone(step)
        others = [
            (value, reader, through)
            for value in step.values
            for reader, through in self.readers[value]
            if reader not in step.values
        ]
        # Products that need all of a value come first, then what else is next in this stage;
        # later stages only explain streams.
        others.sort(key=lambda found: not self._goes_into_product(found[1], stage))
        others.sort(key=lambda found: not self._is_in(stage, found[1]))
        later = [reason for v in step.values for reason in self._next_step(v)]
        if later and not (others and self._goes_into_product(others[0][1], stage)):
            return max(later, key=lambda found: found.needs_all).text
        return self._reason(*others[0], stage) if others else "nothing follows from it"

    def _first_reader(self, value: int, stage: int) -> tuple[int, bool]:
        """Who reads a value: this stage before others, and there products before others."""
        return min(
            self.readers[value],
            key=lambda found: (not self._is_in(stage, found[0]), not self._is_product(found[0])),
        )

    def _is_in(self, stage: int, value: int) -> bool:
        return self.step_of.get(value, (-1, 0))[0] == stage

    def _is_product(self, value: int) -> bool:
        node = self.graph.definition(value)
        return isinstance(node, Node) and node.op == "contract"

    def _goes_into_product(self, value: int, stage: int) -> bool:
        """Whether it is a product, or joined where it lies for one of this stage."""
        if is_joined_in_place(self.graph, self.schedule, value):
            readers = [reader for reader, _ in self.readers[value]]
            return any(self._is_product(v) and self._is_in(stage, v) for v in readers)
        return self._is_product(value)

    def _next_step(self, value: int) -> Iterator[_Late]:
        """What the next time step does with a value."""
        for name in self.states[value]:
            leaf = self.graph.leaf_index(name, LeafRole.STATE)
            here = f"{self._name(value)} is {name} of the next step"
            for reader, _ in self.readers[leaf]:
                if self._is_product(reader):
                    needs = f"the product {self._name(reader)} needs all of it"
                    yield _Late(f"{here}: {needs}", True)
            yield _Late(f"{here}, which waits for all of this one", False)

    def _alone(self, step: Step) -> str:
        found = self.graph.definition(step.values[0])
        if isinstance(found, Leaf):
            return "a state on no cycle is its own stream, one step late"
        if found.op == "contract" and found.attr("sum_batch"):
            return "apart: one product over all rows, once their streams are there"
        if found.op == "contract":
            return "apart: a tile of results is in registers until its sums are whole"
        if is_joined_in_place(self.graph, self.schedule, step.values[0]):
            return "no loop: its parts are computed where it lies"
        if found.op in _REDUCTIONS:
            return f"apart: {found.op} goes through all elements before the first result"
        return f"apart: {found.op} puts elements in other places"

    def _reason(self, value: int, reader: int, through: bool, stage: int) -> str:
        what, node = self._name(value), self.graph.definition(reader)
        assert isinstance(node, Node)
        to = self._name(reader)
        place = self.step_of.get(reader)
        if place is None:
            return f"{to} is computed once, after the last step"
        if place[0] != stage:
            scan = self.schedule.stages[place[0]].kind is StageKind.SCAN
            where = f"stage {place[0] + 1}, " + ("a scan" if scan else "for all steps at once")
            return f"{to} reads {what} in {where}"
        if node.op == "contract":
            return f"the product {to} needs all of {what}"
        if is_joined_in_place(self.graph, self.schedule, reader) and self.readers[reader]:
            further = self._reason(reader, *self._first_reader(reader, stage), stage)
            return f"{further}, of which {what} is a part"
        if node.op in _REDUCTIONS:
            return f"{to} ({node.op}) needs all of {what}"
        if not OPS[node.op].elementwise:
            return f"{to} ({node.op}) puts elements of {what} in other places"
        if through:
            return f"{to} reads {what} at other places than it is computed"
        if self.graph.type_of(reader).shape != self.graph.type_of(value).shape:
            return f"{to} has another shape"
        late = [v for v in node.operands if (r := root(self.graph, v)) is not None and r != value]
        waits = [
            v for v in late if self.step_of.get(root(self.graph, v) or -1, (-1, 0)) > (stage, 0)
        ]
        return f"{to} also waits for {self._called(waits[0])}" if waits else f"{to} comes later"

    def _called(self, value: int) -> str:
        return ("the product " if self._is_product(value) else "") + self._name(value)

    def _name(self, value: int) -> str:
        return value_name(self.graph, value)


def value_name(graph: Graph, value: int) -> str:
    """A value's name in the user's file, else its number."""
    return graph.definition(value).name or f"%{value}"


def _readers(graph: Graph) -> dict[int, list[tuple[int, bool]]]:
    """The nodes that read a value's memory, and whether they do through a view."""
    found = defaultdict[int, list[tuple[int, bool]]](list)
    for value, node in graph.node_values():
        if root(graph, value) != value:
            continue
        for operand in node.operands:
            source = root(graph, operand)
            if source is not None:
                found[source].append((value, source != operand))
    return found


def states_after(graph: Graph) -> dict[int, list[str]]:
    """The states that take each value."""
    found = defaultdict[int, list[str]](list)
    for result in graph.results_of(ResultRole.STATE):
        found[result.value].append(result.name)
    return found
