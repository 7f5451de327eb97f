"""How threads share what a stage does for rows that are too few to share: who computes what, and
where they wait for each other.

A vector is shared in units of neighbouring elements, and always alike: what a thread reads of its
own units only, it has also computed.  Products that make several vectors at once, all gates of an
LSTM, say, are shared by the units of each.  Then threads wait only where one needs what others
have computed: a product all of a state, say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from rnndsl.backends.tvm.schedule import Schedule, StageSteps, Step, StepKind, Storage
from rnndsl.backends.tvm.views import root
from rnndsl.backends.tvm.work import is_joined_in_place, weight_of
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.op_types import dims_attr, int_attr
from rnndsl.compiler.plan import StageKind

# Elements of a weight that are worth waiting once for other threads: those of them that one of
# two threads need not read take about as long as that to come from a core's second cache.
_LEAST_WEIGHT = 12_000
# Elements of a unit, and the units that are worth sharing.  Products take more than one tile of
# a vector at once, if that is all they make and there are as many.
_UNIT, _LARGE_UNIT = 32, 64
_LEAST_UNITS = 2


@dataclass(frozen=True, slots=True)
class Run:
    """Steps by all parts, each its share of every step, or by the first alone; ``waits`` if all
    parts wait for each other before."""

    steps: tuple[Step, ...]
    is_shared: bool
    waits: bool


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who does what in a stage.

    ``end`` is what is copied after all steps: outputs, and next values to their states.  Of a
    product in ``vectors``, that many vectors are shared alike.  ``turned`` are states with two
    places, of which a step reads one and writes the other: nobody waits until all have read.
    ``units`` are those of each vector, if all have as many and nothing is left beside them; else 0.
    """

    runs: tuple[Run, ...]
    end: Run
    unit: int
    vectors: Mapping[int, int]
    turned: tuple[str, ...]
    units: int

    @property
    def waits(self) -> int:
        """How often the parts wait for each other in one step."""
        return sum(run.waits for run in (*self.runs, self.end))


def sharing(graph: Graph, schedule: Schedule, stage: StageSteps) -> Sharing | None:
    """How threads that have too few rows share what a stage does; None where it has no products
    that are worth it."""
    weights = {step.values[0]: weight_of(graph, step) for step in stage.steps}
    products = {value: weight for value, weight in weights.items() if weight}
    if not products:
        return None
    found = _Sharer(graph, schedule, stage, frozenset(products)).run()
    # What is not in a loop over time waits once more, in the end.
    waits = found.waits if stage.kind is StageKind.SCAN else 2 * len(products)
    return found if sum(products.values()) > _LEAST_WEIGHT * waits else None


def prepares(
    stages: Sequence[StageSteps], sharings: Sequence[Sharing | None], position: int
) -> bool:
    """Whether threads that share the steps of a later scan had better share a stage before it
    likewise, however many rows it has: each then finds in its caches what it reads in the scan, and
    needs of the weights only what its units are made of."""
    stage, shares = stages[position], sharings[position]
    later = zip(stages[position + 1 :], sharings[position + 1 :], strict=True)
    if not any(after and scan.kind is StageKind.SCAN for scan, after in later):
        return False
    if stage.kind is StageKind.SCAN or stage.sums or shares is None:
        return False
    return shares.units > 0 and not shares.waits and all(run.is_shared for run in shares.runs)


class _Who(Enum):
    """Which parts read or write which elements."""

    OWN = "each its units"
    FIRST = "the first part all"
    ANY = "anything else"


@dataclass(frozen=True, slots=True)
class _Access:
    place: int
    who: _Who
    writes: bool


class _Sharer:
    """What is known of one stage, and of its ``products`` with weights."""

    def __init__(
        self, graph: Graph, schedule: Schedule, stage: StageSteps, products: frozenset[int]
    ) -> None:
        self.graph, self.schedule, self.stage = graph, schedule, stage
        self.products = products
        self.states = {graph.leaf_index(name, LeafRole.STATE): name for name in stage.states}
        self.next = {
            graph.leaf_index(r.name, LeafRole.STATE): r.value
            for r in graph.results_of(ResultRole.STATE)
            if r.name in stage.states
        }
        self.step_of = {
            v: step for step in stage.steps for v in step.values if step.kind is not StepKind.KEEP
        }
        self.unit = _UNIT
        self.vectors = dict(self._vectors())
        large = (v for v, count in self.vectors.items() if count == 1)
        if any(self._length(v) >= _LEAST_UNITS * _LARGE_UNIT for v in large):
            self.unit = _LARGE_UNIT
            self.vectors = dict(self._vectors())

    def run(self) -> Sharing:
        groups = list(self._groups())
        end_is_shared = bool(groups) and groups[-1][1] and self._may_share_end()
        pieces = [list(self._accesses(*group)) for group in groups]
        pieces.append(list(self._end_accesses(end_is_shared)))
        every = [access for piece in pieces for access in piece]
        written = {a.place for a in every if a.writes} - {
            a.place for a in every if a.writes and a.who is not _Who.OWN
        }
        read_whole = {a.place for a in every if a.who is _Who.ANY}
        turned = sorted(self.states.keys() & read_whole & written)
        waits, spared = self._waits(pieces, []), self._waits(pieces, turned)
        if self.stage.swapped or sum(spared) == sum(waits):
            turned = []
        else:
            waits = spared
        runs = (Run(tuple(s), shared, w) for (s, shared), w in zip(groups, waits, strict=False))
        return Sharing(
            tuple(runs),
            Run((), end_is_shared, waits[-1]),
            self.unit,
            self.vectors,
            tuple(self.states[leaf] for leaf in turned),
            self._common_units(),
        )

    # ------------------------------------------------------------------ shares

    def _vectors(self) -> Iterator[tuple[int, int]]:
        """The products of which only whole vectors are read, in loops over elements of these."""
        for product in sorted(self.products):
            if len(self.graph.type_of(product).sizes) != 1:
                continue
            length = self._length(product)
            copied = [c.value for c in self.stage.copies] + list(self.next.values())
            sizes = {self._vector_read(s, v, product) for s, v in self._reads[product]}
            copies = (v for v in copied if root(self.graph, v) == product)
            sizes |= {length if v == product else 0 for v in copies}
            if not sizes:  # Later stages find what they read where it was computed, or wait for it.
                sizes = {self._vector_read(s, v, product) for s, v in self._later_reads[product]}
                if len(sizes) != 1 or not all(self._are_whole(size, length) for size in sizes):
                    sizes = {length}
            size = sizes.pop() if len(sizes) == 1 else 0
            if size == length:
                yield product, 1
            elif self._are_whole(size, length):
                yield product, length // size

    def _are_whole(self, size: int, length: int) -> bool:
        """Whether a product of a length is made of vectors of a size, and each of these of units,
        enough of them to be shared."""
        return size >= _LEAST_UNITS * self.unit and size % self.unit == length % size == 0

    @cached_property
    def _reads(self) -> Mapping[int, list[tuple[Step, int]]]:
        return self._found_reads([self.stage])

    @cached_property
    def _later_reads(self) -> Mapping[int, list[tuple[Step, int]]]:
        return self._found_reads(self.schedule.stages)

    def _found_reads(self, stages: Iterable[StageSteps]) -> Mapping[int, list[tuple[Step, int]]]:
        """The operands that steps read, by the value whose memory it is."""
        found = defaultdict[int, list[tuple[Step, int]]](list)
        for step in (step for stage in stages for step in stage.steps):
            for operand in (v for node in self._nodes(step) for v in node.operands):
                read = root(self.graph, operand)
                if read is not None:
                    found[read].append((step, operand))
        return found

    def _vector_read(self, step: Step, operand: int, product: int) -> int:
        """The length of a vector of the product that a step reads, or 0 if it reads others."""
        size = self._length(operand)
        if step.kind is not StepKind.GROUP or self.graph.type_of(step.values[0]).sizes != (size,):
            return 0
        return size if operand == product or self._is_vector(operand, size, product) else 0

    def _is_vector(self, value: int, size: int, product: int) -> bool:
        """Whether a value is one of the vectors of a size that a product consists of."""
        node = self.graph.definition(value)
        if not isinstance(node, Node) or node.op != "slice" or node.operands[0] != product:
            return False
        attrs = dict(node.attrs)
        start, _ = dims_attr(attrs, "bounds")
        return int_attr(attrs, "axis") == 0 and int(start) % size == 0

    def _length(self, value: int) -> int:
        sizes = self.graph.type_of(value).sizes
        return sizes[0] if len(sizes) == 1 else 0

    def _units(self, value: int) -> int:
        """Of how many equal pieces the loop over elements of a value consists for threads."""
        sizes = self.graph.type_of(value).sizes
        return sizes[0] if len(sizes) > 1 else sizes[0] // self.unit if sizes else 0

    def _common_units(self) -> int:
        lengths = {self._length(v) // count for v, count in self.vectors.items()}
        length = lengths.pop() if len(lengths) == 1 else 0
        return 0 if length % self.unit else length // self.unit

    # ------------------------------------------------------------------ runs

    def _groups(self) -> Iterator[tuple[list[Step], bool]]:
        """Steps that the same parts compute, in order."""
        between = list[Step]()
        for step in self.stage.steps:
            if step.values[0] in self.products:
                if between:
                    yield between, self._may_share(between)
                    between = []
                yield [step], True
            elif not is_joined_in_place(self.graph, self.schedule, step.values[0]):
                between.append(step)
        if between:
            yield between, self._may_share(between)

    def _may_share(self, steps: Sequence[Step]) -> bool:
        """Whether steps are loops over elements of which each reads, of what the others store,
        no more than the one that it stores itself: then parts need not wait for each other."""
        if any(step.kind not in (StepKind.GROUP, StepKind.KEEP) for step in steps):
            return False
        shapes = {self.graph.type_of(step.values[0]).sizes for step in steps}
        if len(shapes) > 1 or self._units(steps[0].values[0]) < _LEAST_UNITS:
            return False
        stored = {value for step in steps for value in step.values}
        for value in list(stored):
            stored |= self._states_of(value)
        parts = self.schedule.parts
        joined = {parts[v].whole for v in stored if v in parts}
        reads = {
            v: root(self.graph, v) for step in steps for n in self._nodes(step) for v in n.operands
        }
        return all(r not in joined and (r not in stored or v == r) for v, r in reads.items())

    def _may_share_end(self) -> bool:
        """Whether each element that is copied in the end was computed by who copies it."""
        values = [c.value for c in self.stage.copies] + [self.next[s] for s in self._moved()]
        own = (self._who_reads(v, self.graph.type_of(v).sizes) is _Who.OWN for v in values)
        return not self.stage.swapped and all(own)

    def _moved(self) -> list[int]:
        """The states whose next values are copied to them in the end."""
        if self.stage.kind is StageKind.PARALLEL:
            return []
        stored = {leaf for value in self.step_of for leaf in self._states_of(value)}
        return [leaf for leaf, value in self.next.items() if leaf not in stored and leaf != value]

    # ------------------------------------------------------------------ waits

    def _waits(self, pieces: Sequence[Sequence[_Access]], turned: Iterable[int]) -> list[bool]:
        """Before which pieces of a step all parts must wait, in a loop over steps."""
        fresh = {p for p in self.step_of if self.schedule.storage.get(p) in _FRESH} | set(turned)
        found = list[bool]()
        since = defaultdict[int, list[_Access]](list)
        for _ in range(2):  # the second time with what the end of a step leaves to the next
            found.clear()
            for piece in pieces:
                found.append(any(_conflict(a, b, fresh) for b in piece for a in since[b.place]))
                if found[-1]:
                    since.clear()
                for access in piece:
                    since[access.place].append(access)
        return found

    def _accesses(self, steps: Sequence[Step], is_shared: bool) -> Iterator[_Access]:
        own = _Who.OWN if is_shared else _Who.FIRST
        computed = {value for step in steps for value in step.values if step.kind is StepKind.GROUP}
        delayed = (step.values[0] for step in steps if step.kind is StepKind.DELAY)
        later = (root(self.graph, self.next[state]) for state in delayed)
        yield from (_Access(self._place(v), own, False) for v in later if v is not None)
        for step in steps:
            is_product = step.values[0] in self.products
            who = own if not is_product or step.values[0] in self.vectors else _Who.ANY
            for value in step.values:
                if step.kind is StepKind.KEEP:
                    yield _Access(value, own, False)
                    continue
                places = {self._place(value)} | self._states_of(value)
                yield from (_Access(place, who, True) for place in places)
            shape = self.graph.type_of(step.values[0]).sizes
            for node in self._nodes(step):
                for v in node.operands:
                    r = root(self.graph, v)
                    if r is None or v in computed or self._place(r) not in self._made:
                        continue
                    whose = _Who.ANY if is_product else self._who_reads(v, shape)
                    whose = whose if is_shared else _Who.FIRST
                    yield _Access(self._place(r), whose, False)

    def _end_accesses(self, is_shared: bool) -> Iterator[_Access]:
        who = _Who.OWN if is_shared else _Who.FIRST
        copied, moved = [c.value for c in self.stage.copies], self._moved()
        for value in (*copied, *(self.next[state] for state in moved)):
            r = root(self.graph, value)
            if r is not None and self._place(r) in self._made:
                yield _Access(self._place(r), who, False)
        yield from (_Access(state, who, True) for state in moved)

    def _who_reads(self, value: int, shape: tuple[int, ...]) -> _Who:
        """Who computed what a loop over elements of a shape reads of a value."""
        r = root(self.graph, value)
        if r is None or self._place(r) not in self._made:
            return _Who.OWN
        if value == r and self.graph.type_of(r).sizes == shape:
            by_parts = r not in self.products or self.vectors.get(r) == 1
            return _Who.OWN if by_parts else _Who.ANY
        # Only these are read of it.
        return _Who.OWN if self.vectors.get(r, 1) > 1 else _Who.ANY

    @cached_property
    def _made(self) -> frozenset[int]:
        """Where what the stage computes and carries is."""
        return frozenset({*map(self._place, self.step_of), *self.states})

    def _place(self, value: int) -> int:
        """What stands for the memory of a value: itself, what it is a part of, or a state."""
        while value in self.schedule.parts:
            value = self.schedule.parts[value].whole
        if self.schedule.storage.get(value) is Storage.STATE:
            return min(self._states_of(value))
        return value

    def _states_of(self, value: int) -> set[int]:
        """The states that a value is stored over."""
        names = self.schedule.in_place.get(value, ())
        return {self.graph.leaf_index(name, LeafRole.STATE) for name in names}

    def _nodes(self, step: Step) -> Iterator[Node]:
        found = (self.graph.definition(value) for value in step.values)
        return (node for node in found if isinstance(node, Node))


# Of these each step has memory of its own.
_FRESH = (Storage.STREAM, Storage.OUTPUT)


def _conflict(before: _Access, after: _Access, fresh: set[int]) -> bool:
    """Whether, in one place, a part may do the latter only when others have done the former."""
    if not (before.writes or after.writes):
        return False
    if after.writes and after.place in fresh:
        return False
    return before.who is not after.who or before.who is _Who.ANY
