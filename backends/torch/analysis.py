"""What the emitter needs to know of a plan: uses, lifetimes, sums, and what may be one call."""

from __future__ import annotations

from functools import cached_property

from rnndsl.backends.torch.contractions import weight_and_vector
from rnndsl.backends.torch.expressions import Operand
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind


class PlanFacts:
    """Facts of a plan, each computed when it is first asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.graph: Graph = plan.graph

    @cached_property
    def uses(self) -> list[int]:
        """How often each value is an operand or a result."""
        uses = [0] * (len(self.graph.leaves) + len(self.graph.nodes))
        for node in self.graph.nodes:
            for operand in node.operands:
                uses[operand] += 1
        for result in self.graph.results:
            uses[result.value] += 1
        return uses

    @cached_property
    def stage_of(self) -> dict[int, int]:
        """The index of the stage that computes a value."""
        return {v: k for k, stage in enumerate(self.plan.stages) for v in stage.values}

    @cached_property
    def next_values(self) -> dict[str, int]:
        """For each state the value that it takes at the next step."""
        return {r.name: r.value for r in self.graph.results_of(ResultRole.STATE)}

    @cached_property
    def state_leaves(self) -> dict[str, int]:
        return {
            leaf.name: value
            for value, leaf in enumerate(self.graph.leaves)
            if leaf.role is LeafRole.STATE
        }

    @cached_property
    def late(self) -> frozenset[int]:
        """Shared values of no stage that depend on a sum over time: they come last."""
        found: set[int] = set()
        for value, node in self.graph.node_values():
            if node.type.batched or value in self.stage_of:
                continue
            if any(self.graph.type_of(v).batched for v in node.operands) or any(
                v in found or self._is_staged_sum(v) for v in node.operands
            ):
                found.add(value)
        return frozenset(found)

    def _is_staged_sum(self, value: int) -> bool:
        return value in self.stage_of and not self.graph.type_of(value).batched

    def is_total(self, value: int) -> bool:
        """Whether a shared value is summed over time already."""
        return value in self.late or self._is_staged_sum(value)

    @cached_property
    def fused(self) -> dict[int, tuple[int, int]]:
        """Sums W·v + u that become one call: the sum's value -> (product, u)."""
        found: dict[int, tuple[int, int]] = {}
        products: set[int] = set()
        for value, node in self.graph.node_values():
            if node.op != "add" or value not in self.stage_of or node.type.rank != 1:
                continue
            for product, other in (node.operands, node.operands[::-1]):
                if product not in products and self._can_fuse(value, product, other):
                    found[value] = (product, other)
                    products.add(product)
                    break
        return found

    def _can_fuse(self, value: int, product: int, other: int) -> bool:
        made = self.graph.definition(product)
        if not isinstance(made, Node) or self.uses[product] != 1:
            return False
        if self.stage_of.get(product) != self.stage_of[value]:
            return False
        operands = tuple(
            Operand("", kind, "B, " if kind.batched else "")
            for kind in (self.graph.type_of(v) for v in made.operands)
        )
        if weight_and_vector(made, operands) is None:
            return False
        scan = self.plan.stages[self.stage_of[value]].kind is StageKind.SCAN
        # A stream of addends costs one more pass over it, whichever way it is added.
        return scan or not self.graph.type_of(other).batched

    @cached_property
    def products(self) -> frozenset[int]:
        """Products that are computed as part of a sum."""
        return frozenset(product for product, _ in self.fused.values())

    def operands(self, value: int) -> tuple[int, ...]:
        node = self.graph.definition(value)
        return node.operands if isinstance(node, Node) else ()

    def reads(self, value: int) -> tuple[int, ...]:
        """The values that the statement of a value reads."""
        if value in self.fused:
            product, other = self.fused[value]
            return (*self.operands(product), other)
        return self.operands(value)

    def in_order(self, stage: Stage) -> list[int]:
        """A stage's values and delayed states: a state after the value that it delays."""
        sources = {self.state_leaves[name]: self.next_values[name] for name in stage.states}
        members = {*stage.values, *sources}
        order: dict[int, None] = {}
        pending = [*reversed(stage.values), *reversed(sources)]
        while pending:
            value = pending[-1]
            reads = (sources[value],) if value in sources else self.operands(value)
            waiting = [v for v in reads if v in members and v not in order]
            if waiting and value not in order:
                pending.extend(waiting)
            else:
                order[pending.pop()] = None
        return list(order)

    def dying(self, stage: Stage, order: list[int]) -> dict[int, list[int]]:
        """Streams made by nodes that nothing reads after a value of this stage."""
        later = self.plan.stages[self.plan.stages.index(stage) + 1 :]
        seen = {result.value for result in self.graph.results}
        seen |= self._read_by(later) | {self.next_values[name] for name in stage.states}
        found: dict[int, list[int]] = {}
        for value in reversed(order):
            for operand in dict.fromkeys(self.reads(value)):
                if operand in seen or not self.graph.type_of(operand).batched:
                    continue
                seen.add(operand)
                if isinstance(self.graph.definition(operand), Node):
                    found.setdefault(value, []).append(operand)
        return found

    def _read_by(self, stages: tuple[Stage, ...]) -> set[int]:
        """What these stages and the late sums read."""
        found = {v for stage in stages for value in stage.values for v in self.reads(value)}
        found |= {self.next_values[name] for stage in stages for name in stage.states}
        return found | {v for value in self.late for v in self.reads(value)}

    def streams_read(self, stage: Stage) -> list[int]:
        """Batched values from outside that a scan reads, in order of first use."""
        inside = self.members(stage)
        read = [v for value in stage.values for v in self.reads(value)]
        read += [self.next_values[name] for name in stage.states]
        return [v for v in dict.fromkeys(read) if v not in inside and self.graph.type_of(v).batched]

    def members(self, stage: Stage) -> set[int]:
        """The values and state leaves of a stage."""
        return {*stage.values, *(self.state_leaves[name] for name in stage.states)}

    def read_outside(self, stage: Stage) -> list[int]:
        """Values of a scan whose whole streams are wanted after it."""
        others = tuple(other for other in self.plan.stages if other is not stage)
        wanted = {r.value for r in self.graph.results if r.role is not ResultRole.STATE}
        return sorted((wanted | self._read_by(others)) & self.members(stage))
