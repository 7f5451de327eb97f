"""Joining equal ops on neighbouring lanes into one op on the wider value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Attrs, Graph, Node
from rnndsl.compiler.lanes import Lane
from rnndsl.dims import Dim, dim

REDUCTIONS = frozenset({"reduce_sum", "reduce_max"})

Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """Nodes that can be one, if their operands are neighbours, agree in all of this.

    ``sources``: of each operand the value that it is a lane of; None for an operand of its
    own.  ``axis`` and ``dropped``: as in Lane.  ``length``: of the lanes, where all must be
    equally long.  ``recurrence``: joining what recurs with what does not would drag work into
    the loop over time.
    """

    op: str
    attrs: Attrs
    axis: int
    dropped: bool
    sources: tuple[int | None, ...]
    length: Dim | None
    recurrence: int | None


@dataclass(frozen=True, slots=True)
class Member:
    """A node with its operands, in the order of the key's sources, and the lanes they are."""

    value: int
    operands: tuple[int, ...]
    parts: tuple[Lane | None, ...]

    @property
    def starts(self) -> tuple[Dim, ...]:
        return tuple(part.start for part in self.parts if part is not None)

    @property
    def stops(self) -> tuple[Dim, ...]:
        return tuple(part.stop for part in self.parts if part is not None)


@dataclass(frozen=True, slots=True)
class Run:
    """Members each of which begins where the one before ends."""

    key: Key
    members: tuple[Member, ...]


def join(graph: Graph, runs: Sequence[Run]) -> Graph:
    """The graph with each run as one node, and the members as its lanes."""
    joiner = _Joiner(graph, runs)
    for value, _ in graph.node_values():
        joiner.need(value)
    for result in graph.results:
        joiner.builder.result(result.name, result.role, joiner.handles[result.value])
    return prune(joiner.builder.finish(graph.name))


class _Joiner:
    """Copies a graph; a run is emitted when the first of its members is needed."""

    def __init__(self, graph: Graph, runs: Sequence[Run]) -> None:
        self.graph = graph
        self.builder = Builder()
        self.handles = {
            value: self.builder.leaf(f.name, f.role, f.type, f.span)
            for value, f in enumerate(graph.leaves)
        }
        self.run_of = {member.value: run for run in runs for member in run.members}

    def need(self, value: int) -> None:
        """Emit a value after all that it depends on."""
        pending = [value]
        while pending:
            value = pending[-1]
            missing = [v for v in self._reads(value) if v not in self.handles]
            if value in self.handles or not missing:
                self._emit(pending.pop())
            else:
                pending += missing

    def _reads(self, value: int) -> list[int]:
        if value not in self.run_of:
            found = self.graph.definition(value)
            return list(found.operands) if isinstance(found, Node) else []
        run = self.run_of[value]
        reads = [v for v in run.key.sources if v is not None]
        for place, source in enumerate(run.key.sources):
            if source is None:
                reads += [member.operands[place] for member in run.members]
        return reads

    def _emit(self, value: int) -> None:
        if value in self.handles:
            return
        if value in self.run_of:
            self._emit_run(self.run_of[value])
        else:
            node = self._node(value)
            self.handles[value] = self.builder.keep(
                node, tuple(self.handles[v] for v in node.operands)
            )

    def _node(self, value: int) -> Node:
        node = self.graph.definition(value)
        assert isinstance(node, Node)
        return node

    def _emit_run(self, run: Run) -> None:
        """The joined node, and the lane of it that every member is."""
        key = run.key
        operands = [self._operand(run, place) for place in range(len(key.sources))]
        if key.op in REDUCTIONS:
            joined = self._reduced(run, operands[0])
        elif key.op == "broadcast":
            joined = self._repeated(run, operands[0])
        else:
            joined = self._elementwise(key.op, operands)
        # Reducing a lane leaves one element of it, broadcasting makes a whole one.
        dropped = key.dropped != (key.op in REDUCTIONS or key.op == "broadcast")
        start = dim(0)
        for member in run.members:
            node = self._node(member.value)
            stop = start + (dim(1) if dropped else node.type.shape[key.axis])
            part = self.builder.op(
                "slice", joined, span=node.span, axis=key.axis, bounds=(start, stop)
            )
            if dropped:
                part = self.builder.op("reshape", part, span=node.span, shape=node.type.shape)
            self.builder.rename(part, node.name)
            self.handles[member.value] = part
            start = stop

    def _operand(self, run: Run, place: int) -> int:
        """What the joined node reads at a place: a part of the source, or a concat."""
        key, source = run.key, run.key.sources[place]
        if source is not None:
            first, last = run.members[0].parts[place], run.members[-1].parts[place]
            assert first is not None and last is not None
            return self._part(self.handles[source], key.axis, first.start, last.stop)
        own = [member.operands[place] for member in run.members]
        shapes = [self._with_axis(key, self.graph.type_of(v).shape) for v in own]
        full = self._common_full(own)
        if full is not None:
            total = _sum(shape[key.axis] for shape in shapes)
            shape = (*shapes[0][: key.axis], total, *shapes[0][key.axis + 1 :])
            return self.builder.op("full", shape=shape, value=full.attr("value"))
        parts = [self._shaped(self.handles[v], shape) for v, shape in zip(own, shapes, strict=True)]
        return self.builder.op("concat", *parts, axis=key.axis)

    def _part(self, whole: int, axis: int, start: Dim, stop: Dim) -> int:
        if start == dim(0) and stop == self.builder.type_of(whole).shape[axis]:
            return whole
        return self.builder.op("slice", whole, axis=axis, bounds=(start, stop))

    def _with_axis(self, key: Key, shape: Shape) -> Shape:
        return (*shape[: key.axis], dim(1), *shape[key.axis :]) if key.dropped else shape

    def _common_full(self, values: Sequence[int]) -> Node | None:
        """The constant that all values are, if they are the same one."""
        found = [self.graph.definition(v) for v in values]
        nodes = [node for node in found if isinstance(node, Node) and node.op == "full"]
        same = len({repr(node.attr("value")) for node in nodes}) == 1
        return nodes[0] if same and len(nodes) == len(values) else None

    def _shaped(self, value: int, shape: Shape) -> int:
        """The value in another shape; a constant is made anew, a reshape is undone."""
        if self.builder.type_of(value).shape == shape:
            return value
        node = self.builder.definition(value)
        if isinstance(node, Node) and node.op == "full":
            return self.builder.op("full", shape=shape, value=node.attr("value"))
        if isinstance(node, Node) and node.op == "reshape":
            (inner,) = node.operands
            if self.builder.type_of(inner).shape == shape:
                return inner
        return self.builder.op("reshape", value, shape=shape)

    def _elementwise(self, op: str, operands: Sequence[int]) -> int:
        """The op in the shape in which an operand was computed, where that was another one."""
        flat = self.builder.type_of(operands[0]).shape
        shape = flat
        for value in operands:
            node = self.builder.definition(value)
            if isinstance(node, Node) and node.op == "reshape" and node.type.batched:
                shape = self.builder.type_of(node.operands[0]).shape
                break
        joined = self.builder.op(op, *(self._shaped(value, shape) for value in operands))
        return self._shaped(joined, flat)

    def _reduced(self, run: Run, operand: int) -> int:
        """One element for each lane, along the axis of the lanes."""
        key, kind = run.key, self.builder.type_of(operand)
        assert key.length is not None
        lanes = (dim(len(run.members)), key.length)
        shape = (*kind.shape[: key.axis], *lanes, *kind.shape[key.axis + 1 :])
        return self.builder.op(key.op, self._shaped(operand, shape), axis=key.axis + 1)

    def _repeated(self, run: Run, operand: int) -> int:
        """Each element of a vector repeated to a lane."""
        (length,) = self._node(run.members[0].value).type.shape
        count = dim(len(run.members))
        table = self.builder.op("broadcast", operand, axes=(0,), shape=(count, length))
        return self.builder.op("reshape", table, shape=(count * length,))


def _sum(sizes: Iterable[Dim]) -> Dim:
    total = dim(0)
    for size in sizes:
        total = total + size
    return total
