"""A step graph to one whose step is a block of L time steps.

Everything that does not recur is lifted: time within the block is one more axis.  Linear
recurrences are solved for the whole block, matrix states without the states within it.  What
still recurs, from block to block, is linear again; the result is an ordinary step graph, so it
is differentiated, split and compiled like any other.
"""

from __future__ import annotations

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.classes import classify_scan
from rnndsl.compiler.forms.block_scan import solve
from rnndsl.compiler.forms.delta import Delta, DeltaBlock, UnsolvedError, find_delta
from rnndsl.compiler.forms.factors import Outer, outer_of, side_of, varying_axes
from rnndsl.compiler.forms.held import without_choices
from rnndsl.compiler.forms.lift import lift, repeated
from rnndsl.compiler.forms.matrix_scan import Factor, MatrixScan
from rnndsl.compiler.forms.normal import normalise
from rnndsl.compiler.forms.parts import AXES, Part
from rnndsl.compiler.forms.reading import PASSED, Reading, UnreadableError
from rnndsl.compiler.forms.reduce import Reducer
from rnndsl.compiler.forms.scan_map import MapKind, ScanMap, scan_map
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole, Type
from rnndsl.compiler.plan import Plan, Stage, StageKind
from rnndsl.compiler.split import split
from rnndsl.dims import dim
from rnndsl.source import Span


class NotChunkedError(ValueError):
    """A graph has no such form; the message says why, ``span`` where."""

    def __init__(self, states: tuple[str, ...], reason: str, span: Span | None = None) -> None:
        super().__init__(reason)
        self.states, self.reason, self.span = states, reason, span


def chunk(graph: Graph, length: int) -> Graph:
    """The graph of ``length`` steps (a power of 2) of a bound graph, separated or not.

    Inputs and outputs are [L, *shape], states as before.  NotChunkedError if a recurrence is
    not linear, or a matrix state is used in another way than by products with vectors.
    """
    return _Chunker(_normal_plan(graph), length).run()


def matrix_states(graph: Graph) -> dict[str, bool]:
    """The recurring states to which an outer product is added: those that chunks do not keep
    for each step.

    For each whether its blocks are put together of halves: where it is read before it is
    written, or has a factor for each row or column.
    """
    plan = _normal_plan(graph)
    found = {}
    for stage in plan.stages:
        if stage.kind is not StageKind.SCAN or not stage.values:
            continue
        if find_delta(plan.graph, stage) is not None:
            found[stage.states[0]] = True
            continue
        mapped = scan_map(plan.graph, stage)
        outer = None if mapped is None else outer_of(plan.graph, mapped.addend)
        if mapped is not None and outer is not None:
            axes = () if mapped.factor is None else varying_axes(plan.graph, mapped.factor)
            found[mapped.state] = side_of(axes, *outer.axes) is not None
    return found


def _normal_plan(graph: Graph) -> Plan:
    """The plan of a graph with its linear recurrences in normal form."""
    plan = split(graph)
    for rewrite in (without_choices, normalise):
        found = rewrite(plan)
        plan = plan if found is plan.graph else split(found)
    return plan


class _Chunker:
    def __init__(self, plan: Plan, length: int) -> None:
        self.plan, self.graph, self.length = plan, plan.graph, length
        self.b = Builder()
        self.shared: dict[int, int] = {}
        self.timed: dict[int, int] = {}
        self.finals: dict[str, int] = {}
        self.next_values = {r.name: r.value for r in self.graph.results_of(ResultRole.STATE)}
        self.reducer = Reducer(self.b, self.graph, length, self.value)
        self.reading = Reading(self.b, self.graph, self.reducer, self._parts_of)

    def run(self) -> Graph:
        graph, length = self.graph, dim(self.length)
        for value, leaf in enumerate(graph.leaves):
            if leaf.role is LeafRole.INPUT:
                kind = Type((length, *leaf.type.shape), True)
                self.timed[value] = self.b.leaf(leaf.name, leaf.role, kind, leaf.span)
            else:
                made = self.b.leaf(leaf.name, leaf.role, leaf.type, leaf.span)
                self.shared[value] = made
        staged = {v for stage in self.plan.stages for v in stage.values}
        for value, _ in graph.node_values():
            if value not in staged:
                self._lift(value)
        for stage in self.plan.stages:
            if stage.kind is StageKind.SCAN:
                self._scan(stage)
            else:
                self._parallel(stage)
        for result in graph.results:
            if result.role is ResultRole.STATE:
                self.b.result(result.name, result.role, self.finals[result.name])
            elif result.role is ResultRole.VALUE:
                self.b.result(result.name, result.role, self.shared[result.value])
            else:
                self.b.result(result.name, result.role, self.with_time(result.value))
        return prune(self.b.finish(graph.name))

    # ------------------------------------------------------------------------------ values

    def value(self, value: int) -> tuple[int, bool]:
        """A value of the block, and whether it has time."""
        if value in self.timed:
            return self.timed[value], True
        return self.shared[value], False

    def with_time(self, value: int) -> int:
        if value not in self.timed and value not in self.shared:
            raise NotChunkedError((), "a matrix state leaves the cell at every step")
        found, has_time = self.value(value)
        return found if has_time else repeated(self.b, found, self.length)

    def _lift(self, value: int) -> None:
        node = self.graph.definition(value)
        assert isinstance(node, Node)
        operands = [self.value(v) for v in node.operands]
        made = lift(self.b, node, operands, self.length)
        (self.timed if any(t for _, t in operands) else self.shared)[value] = made

    def _parallel(self, stage: Stage) -> None:
        """Lifted values, and states that are only delayed, in an order that suits both."""
        sources = {
            self.graph.leaf_index(name, LeafRole.STATE): self.next_values[name]
            for name in stage.states
        }
        todo = [*sources, *stage.values]
        while todo:
            waiting = set(todo)
            for value in todo:
                node = self.graph.definition(value)
                if isinstance(node, Node):
                    if waiting.isdisjoint(node.operands):
                        self._node(value, node)
                        waiting.discard(value)
                elif sources[value] not in waiting:
                    self._delay(value, sources[value])
                    waiting.discard(value)
            assert len(waiting) < len(todo)
            todo = [v for v in todo if v in waiting]

    def _node(self, value: int, node: Node) -> None:
        if self.reading.matrices.isdisjoint(node.operands):
            self._lift(value)
        elif node.op in PASSED:
            self.reading.matrices.add(value)
        elif node.op == "contract":
            try:
                self.timed[value] = self.reading.product(node, self.with_time)
            except UnreadableError as error:
                raise NotChunkedError((), error.reason, error.span or node.span) from None
        else:
            reason = f"{node.op} reads the matrix state; only products with vectors may"
            raise NotChunkedError((), reason, node.span)

    def _delay(self, leaf: int, source: int) -> None:
        """A state on no cycle: before each step of the block, and after the last."""
        stream, kind = self.with_time(source), self.graph.type_of(leaf).shape
        self.timed[leaf] = self._before(leaf, stream)
        bounds = (dim(self.length - 1), dim(self.length))
        row = self.b.op("slice", stream, axis=0, bounds=bounds)
        self.finals[self.graph.leaves[leaf].name] = self.b.op("reshape", row, shape=kind)

    def _before(self, leaf: int, stream: int) -> int:
        """A state before each step, from the one after each."""
        shape = (dim(1), *self.graph.type_of(leaf).shape)
        start = self.b.op("reshape", self.shared[leaf], shape=shape)
        bounds = (dim(0), dim(self.length - 1))
        earlier = self.b.op("slice", stream, axis=0, bounds=bounds)
        return self.b.op("concat", start, earlier, axis=0)

    # ------------------------------------------------------------------------------- scans

    def _scan(self, stage: Stage) -> None:
        if not stage.values:
            for name in stage.states:
                self.finals[name] = self.shared[self.graph.leaf_index(name, LeafRole.STATE)]
            return
        delta = find_delta(self.graph, stage)
        if delta is not None:
            self._delta(stage, delta)
            return
        mapped = scan_map(self.graph, stage)
        if mapped is None or mapped.kind is MapKind.DENSE:
            why = classify_scan(self.graph, stage)
            raise NotChunkedError(stage.states, why.text(), why.span)
        rank = self.graph.type_of(mapped.leaf).rank
        outer = outer_of(self.graph, mapped.addend) if rank > 1 else None
        if outer is not None and mapped.kind is MapKind.DIAGONAL:
            scan = self._matrix(mapped, outer)
            self.reading.add(scan, mapped.leaf, mapped.result)
            self.finals[mapped.state] = scan.after()
            for value in stage.values:
                if value != mapped.result:
                    self.reading.matrices.add(value)
            return
        stream, self.finals[mapped.state] = solve(
            self.b, self.reducer, self.graph, mapped, self.length, self.value
        )
        self.timed[mapped.leaf] = self._before(mapped.leaf, stream)
        self.timed[mapped.result] = stream
        node = self.graph.definition(mapped.result)
        assert isinstance(node, Node)
        self.b.rename(stream, node.name)
        for value in stage.values:
            if value != mapped.result:
                self._lift(value)

    def _delta(self, stage: Stage, delta: Delta) -> None:
        """A matrix state that is read back before it is written."""
        rank = self.graph.type_of(delta.leaf).rank
        state = Part(self.shared[delta.leaf], AXES[:rank])
        sides = Part(-1, delta.key[1]), Part(-1, delta.letters)
        factor = Factor()
        if delta.factor is not None:
            factor = self._factor(delta.state, delta.factor, sides)
        block = DeltaBlock(self.b, self.graph, self.reducer, self.length, self.with_time)
        try:
            scan, read, made = block.solve(delta, state, factor)
        except UnsolvedError:
            why = classify_scan(self.graph, stage)
            raise NotChunkedError(stage.states, why.text(), why.span) from None
        self.timed[delta.read], self.timed[delta.written] = read, made
        self.reading.add(scan, delta.leaf, delta.result)
        self.finals[delta.state] = scan.after()
        self.reading.matrices |= {delta.outer, delta.result}
        for value in stage.values:
            node = self.graph.definition(value)
            if value not in self.timed and isinstance(node, Node):
                if self.reading.matrices.isdisjoint({value, *node.operands}):
                    self._lift(value)
                else:
                    self.reading.matrices.add(value)

    def _matrix(self, mapped: ScanMap, outer: Outer) -> MatrixScan:
        rank = self.graph.type_of(mapped.leaf).rank
        state = Part(self.shared[mapped.leaf], AXES[:rank])
        first, second = self._part(outer, 0), self._part(outer, 1)
        factor = Factor()
        if mapped.factor is not None:
            factor = self._factor(mapped.state, mapped.factor, (first, second))
        return MatrixScan(self.b, self.length, state, (first, second), factor)

    def _parts_of(self, value: int) -> tuple[Part, Part] | None:
        """A matrix that does not recur as its two sides."""
        outer = outer_of(self.graph, value)
        return None if outer is None else (self._part(outer, 0), self._part(outer, 1))

    def _part(self, outer: Outer, side: int) -> Part:
        """One side of an outer product, with what multiplies it."""
        axes = outer.axes[side]
        made = self.with_time(outer.parts[side])
        order = tuple(sorted(axes))
        if order != axes:
            perm = (0, *(1 + axes.index(a) for a in order))
            made = self.b.op("transpose", made, perm=perm)
        for op, to, value in outer.masks:
            if to != side:
                continue
            if op == "neg":
                made = self.b.op("neg", made)
                continue
            by = self.reducer.with_time(value, order)
            if op == "where":
                zero = self.b.full(0.0, self.b.type_of(made).shape)
                made = self.b.op("where", by, made, zero)
            else:
                made = self.b.op(op, made, by)
        return Part(made, "".join(AXES[a] for a in order))

    def _factor(self, state: str, factor: int, parts: tuple[Part, Part]) -> Factor:
        axes = varying_axes(self.graph, factor)
        letters = "".join(AXES[a] for a in axes)
        first, second = (set(part.letters) for part in parts)
        if not (set(letters) <= first or set(letters) <= second):
            reason = "its factor varies along the axes of both sides of the outer product"
            span = self.graph.definition(factor).span
            raise NotChunkedError((state,), reason, span)
        if set(letters) <= first & second:
            logs = self.reducer.logarithm(factor, axes)
            if logs is not None:
                return Factor(letters, None, logs[0], logs[1])
        return Factor(letters, self.reducer.with_time(factor, axes))
