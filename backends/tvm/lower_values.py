"""The buffers of a kernel, and the reading and writing of graph values in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from tvm import ir, tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.buffers import view_of
from rnndsl.backends.tvm.layout import Key, Layout, Slot, display_name, whole_lines
from rnndsl.backends.tvm.lower_memory import Block, Memory, Panels
from rnndsl.backends.tvm.lower_views import CONSTANTS, VIEWS, Indices, Read, shifted
from rnndsl.backends.tvm.lower_weights import Weights
from rnndsl.backends.tvm.options import Options, Passed
from rnndsl.backends.tvm.outline import Outline
from rnndsl.backends.tvm.passing import Passing, plain
from rnndsl.backends.tvm.schedule import Schedule, Storage
from rnndsl.backends.tvm.sharing import Sharing, prepares
from rnndsl.backends.tvm.signature import (
    Shape,
    Signature,
    Stream,
    Workspace,
    computed_in,
)
from rnndsl.backends.tvm.team import Columns, Team
from rnndsl.backends.tvm.time_blocks import TimeBlocks
from rnndsl.backends.tvm.tir import Buffer, Expr, Extent, Stmt
from rnndsl.backends.tvm.work import PIECE, is_in_pieces
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Result, ResultRole
from rnndsl.compiler.plan import Joined, StageKind


@dataclass(frozen=True, slots=True)
class _Argument:
    stream: Stream
    buffer: Buffer


class Values:
    """The values of one graph in the buffers of one kernel."""

    def __init__(
        self,
        graph: Graph,
        schedule: Schedule,
        layout: Layout,
        joined: Sequence[Joined],
        dtype: str,
        options: Options,
        symbol: str,
        sharings: Sequence[Sharing | None],
    ) -> None:
        self.graph, self.schedule, self.options = graph, schedule, options
        # Arrays of 16 bits are widened when they are read.
        self.dtype, self.stored = computed_in(dtype), dtype
        self._passing = Passing(options.passing, dtype)
        passing = self._passing
        self.team = Team.of_call(passing.table, passing.numbers) if options.shared else Team()
        self.outline = Outline(f"{symbol}_part", options.in_modules)
        self.width = options.machine.width(self.dtype)
        # Kernels with totals go through time in blocks, as their callers may.
        several = options.passing is Passed.TABLE and bool(graph.results_of(ResultRole.SUM))
        self.time = TimeBlocks.of_call(several)
        self.batch = tir.length("batch")
        self.rows = self.time.steps * self.batch
        self.declarations: list[Stmt] = []
        self.declarations_of_block: list[Stmt] = []
        self.weights = Weights(
            graph, joined, self._passing, self.dtype, options.packed_weights, self._room
        )
        self._layout, self._sharings = layout, sharings
        self._columns = [self._columns_of(k) for k in range(len(schedule.stages))]
        # Streams follow the memory of fixed size, which is known last.
        self._fixed = tir.length("fixed")
        self._fixed_size = layout.workspace.fixed
        # So does what a part has for itself: for panels last, one loop's over those of another.
        self._per_part = tir.length("per_part")
        self._per_part_size = layout.workspace.per_part
        self._make_arguments()
        self._make_memory()

    # ------------------------------------------------------------------ arguments

    def _make_arguments(self) -> None:
        sequence, batch = (self.time.whole, self.batch), (self.batch,)
        graph = self.graph

        def of_leaf(leaf: Leaf, lead: tuple[Expr, ...]) -> _Argument:
            return self._argument(leaf.name, leaf.type.sizes, lead)

        def of_result(result: Result, lead: tuple[Expr, ...], suffix: str = "") -> _Argument:
            shape = graph.type_of(result.value).sizes
            return self._argument(result.name, shape, lead, suffix)

        self._inputs = [of_leaf(leaf, sequence) for leaf in graph.leaves_of(LeafRole.INPUT)]
        self._states = [of_leaf(leaf, batch) for leaf in graph.leaves_of(LeafRole.STATE)]
        self._outputs = [of_result(r, sequence) for r in graph.results_of(ResultRole.OUTPUT)]
        self.totals = [r for r in graph.results if r.role in (ResultRole.SUM, ResultRole.VALUE)]
        self._totals = [of_result(r, (), "_total") for r in self.totals]
        self._input_rows = {a.stream.name: self._as_rows(a) for a in self._inputs}
        self._output_rows = {a.stream.name: self._as_rows(a) for a in self._outputs}
        self._state_buffers = {a.stream.name: a.buffer for a in self._states}
        self._elements = tir.length("elements")
        self._workspace = self._passing.buffer("workspace", (self._elements,), self.dtype)

    def _argument(
        self, name: str, shape: Shape, lead: tuple[Expr, ...], suffix: str = ""
    ) -> _Argument:
        buffer = self._passing.buffer(plain(name) + suffix, (*lead, *shape))
        return _Argument(Stream(name, shape), buffer)

    def _as_rows(self, argument: _Argument) -> Buffer:
        """The present steps of a stream [T, B, *shape] as [T * B, *shape]."""
        shape = argument.stream.shape
        return self._view(
            argument.buffer,
            plain(argument.stream.name) + "_rows",
            (self.rows, *shape),
            self.time.origin * self.batch * prod(shape),
            self.declarations_of_block,
        )

    def _view(
        self,
        base: Buffer,
        name: str,
        shape: tuple[Extent, ...],
        offset: Expr,
        declarations: list[Stmt],
    ) -> Buffer:
        buffer, declared = view_of(base, name, shape, offset)
        declarations.append(declared)
        return buffer

    def _room(self, name: str, shape: Shape) -> Buffer:
        """Workspace that is not yet given to anything."""
        place = tir.index(self._fixed_size)
        self._fixed_size += whole_lines(prod(shape))
        return self._view(self._workspace, name, shape, place, self.declarations)

    def panels(self) -> Panels:
        """Memory of a part for the time of one loop nest."""
        return Panels(self.panel)

    def panel(self, name: str, shape: Shape, offset: int) -> Buffer:
        """Memory of this part from ``offset`` of its panels on."""
        begin = self._layout.workspace.per_part + offset
        self._per_part_size = max(self._per_part_size, begin + whole_lines(prod(shape)))
        place = self._fixed + self.team.part * self._per_part + begin
        return self._view(self._workspace, name, shape, place, self.declarations)

    def finish(self) -> tuple[list[Expr], list[Stmt]]:
        """The parameters of the function and the declarations, once all memory and every
        weight has been asked for."""
        params, arguments = self._parameters()
        needs = self._layout.workspace
        needed = self.rows * needs.per_row + self._fixed_size + self._per_part_size
        message = ir.StringImm("the workspace is too small")
        check = tirx.AssertStmt(self._elements >= needed, ir.StringImm("ValueError"), [message])
        return params, [
            *arguments,
            *([] if self.options.passing is Passed.TABLE else [check]),
            *self.team.declarations,
            tirx.Bind(self._fixed, tir.index(self._fixed_size)),
            tirx.Bind(self._per_part, tir.index(self._per_part_size)),
            *self._passing.declarations,
            *self.declarations,
        ]

    def _parameters(self) -> tuple[list[Expr], list[Stmt]]:
        """All arguments in the order of the signature, and what finds them."""
        weights = [buffer for _, buffer in self.weights.arguments()]
        lists = (self._states, self._outputs, self._totals)
        rest = [a.buffer for arguments in lists for a in arguments]
        buffers = [*(a.buffer for a in self._inputs), *weights, *rest, self._workspace]
        lengths = [self.time.whole, self.batch, self._elements]
        lengths += [*self.time.lengths, *self.team.lengths]
        return self._passing.params(buffers, lengths)

    def signature(self, symbol: str) -> Signature:
        """How the kernel is called, once every weight has been asked for."""
        return Signature(
            symbol,
            self.stored,
            tuple(a.stream for a in self._inputs),
            tuple(weight for weight, _ in self.weights.arguments()),
            tuple(a.stream for a in self._states),
            tuple(a.stream for a in self._outputs),
            tuple(a.stream for a in self._totals),
            self._needed(),
        )

    def _needed(self) -> Workspace:
        found = self._layout.workspace
        if self.team.is_shared:
            return replace(found, fixed=self._fixed_size, per_part=self._per_part_size)
        return Workspace(self._fixed_size + self._per_part_size, found.per_row)

    # ------------------------------------------------------------------ memory

    def sharing_of(self, position: int) -> Sharing | None:
        """How threads share what a stage does where rows are few, if they wait for each other."""
        return self._sharings[position]

    def vectors_of(self, value: int) -> int:
        """The vectors of a product that threads share alike."""
        known = (found.vectors.get(value, 0) for found in self._sharings if found is not None)
        return max(known, default=0)

    def columns_of(self, position: int) -> Columns | None:
        """Who shares what a stage does for each row where rows are few, if anybody does."""
        return self._columns[position]

    def _columns_of(self, position: int) -> Columns | None:
        stage, found = self.schedule.stages[position], self._sharings[position]
        apart = self.options.shared and is_in_pieces(self.graph, self.schedule, stage)
        if found is None and not apart:
            return None
        least = self.options.machine.rows
        few_rows = self.team.has_few(self.rows, least)
        few_examples = self.team.has_few(self.batch, least)
        if apart or stage.kind is StageKind.SCAN:
            few = few_examples
        elif found is not None and prepares(self.schedule.stages, self._sharings, position):
            few = tirx.Or(few_rows, tirx.And(few_examples, self.team.divides(found.units)))
        else:
            few = few_rows
        columns = self.team.columns_if(few)
        # The rows of a block of time are known in it only.
        self.declarations_of_block += columns.team.declarations
        unit = found.unit if found is not None and not apart else PIECE
        return replace(columns, team=replace(columns.team, apart=apart, unit=unit))

    def _make_memory(self) -> None:
        self._memory: dict[Key, Memory] = {}
        per_part = self._per_part
        own = self._fixed + self.team.part * per_part
        joint = {
            key: self._fixed + columns.home * per_part
            for position, stage in enumerate(self.schedule.stages)
            if (columns := self.columns_of(position)) is not None
            for key in (
                *(v for step in stage.steps for v in step.values),
                *stage.swapped,
                *self.turned(position),
            )
        }
        streams = self._fixed + self.team.parts * per_part
        for key, slot in self._layout.slots.items():
            lead: tuple[Extent, ...] = ()
            offset = tir.index(slot.offset)
            if slot.storage is Storage.BLOCK:
                lead, offset = (slot.rows,), joint.get(key, own) + slot.offset
            elif slot.storage is Storage.PART:
                offset = own + slot.offset
            elif slot.storage is Storage.STREAM:
                lead, offset = (self.rows,), self.rows * slot.offset + streams
            name = plain(display_name(self.graph, key))
            declarations = self.declarations
            if slot.storage in (Storage.STREAM, Storage.BLOCK):
                declarations = self.declarations_of_block
            shape = (*lead, *slot.shape)
            buffer = self._view(self._workspace, name, shape, offset, declarations)
            self._memory[key] = Memory(slot.storage, buffer, rows=self._rows_of_place(key, slot))
        for result, argument in zip(self.totals, self._totals, strict=True):
            if self.schedule.storage.get(result.value) is Storage.TOTAL:
                self._memory[result.value] = Memory(Storage.TOTAL, argument.buffer)
        for value, output in self.schedule.outputs.items():
            self._memory[value] = Memory(Storage.OUTPUT, self._output_rows[output])
        for value, states in self.schedule.in_place.items():
            if self.schedule.storage[value] is Storage.STATE:
                kept = self._memory.get(states[0])
                self._memory[value] = kept or Memory(Storage.STATE, self.state(states[0]))
        for value, part in sorted(self.schedule.parts.items(), reverse=True):
            whole = self._memory[part.whole]
            self._memory[value] = replace(whole, offset=whole.offset + part.offset)

    def place(self, key: Key, block: Block, row: Expr, at: Indices) -> tuple[Buffer, Indices]:
        """The buffer and indices of an element of a value with memory."""
        return self._memory[key].place(block, row, at)

    def turned(self, position: int) -> tuple[str, ...]:
        """The states of a stage with two places."""
        found = self._sharings[position]
        return found.turned if found else ()

    def _rows_of_place(self, key: Key, slot: Slot) -> int:
        """The rows of one of two places of a state; 0 where there is one."""
        stages = range(len(self.schedule.stages))
        return slot.rows // 2 if any(key in self.turned(stage) for stage in stages) else 0

    def _is_turned(self, name: str) -> bool:
        return name in self._memory and self._memory[name].rows > 0

    def states_of(self, value: int) -> list[str]:
        """States that a value is stored over beside its own memory."""
        states = self.schedule.in_place.get(value, ())
        own = self.schedule.storage[value] is Storage.STATE if states else False
        return list(states[1:] if own else states)

    def rows_of_block(self, stage: int) -> int:
        """Rows that a stage works on at a time."""
        return self._layout.rows[stage]

    def of_part(self, value: int, part: Expr) -> tuple[Buffer, Stmt]:
        """The memory of a value in another part, and its declaration."""
        slot = self._layout.slots[value]
        offset = self._fixed + part * self._per_part + slot.offset
        return view_of(self._workspace, "theirs", slot.shape, offset)

    def is_in_place(self, value: int) -> bool:
        """Whether a total is summed up in the caller's array."""
        return self.schedule.storage.get(value) is Storage.TOTAL

    def is_fresh(self, value: int) -> Expr:
        """Whether a total holds nothing yet, before the first product of a block."""
        return self.time.fresh if self.is_in_place(value) else tirx.IntImm("bool", 1)

    def is_apart(self, value: int) -> bool:
        """Whether each part has memory of its own for a shared value."""
        return self._memory[value].storage is Storage.PART

    def has_memory(self, key: Key) -> bool:
        return key in self._memory

    def write(self, key: Key, block: Block, row: Expr, at: Indices, value: Expr) -> Stmt:
        """Store an element of a value."""
        return tir.store(*self.place(key, block, row, at), value)

    def load(self, key: Key, block: Block) -> Read:
        """Reads a value from its memory."""
        return lambda row, at: tir.load(*self.place(key, block, row, at))

    def state(self, name: str) -> Buffer:
        """The caller's array of a state, [B, *shape]."""
        return self._state_buffers[name]

    def carried(self, name: str, block: Block) -> Read:
        """Reads a state that the present scan carries, before its step."""
        if self._is_turned(name):
            return self.load(name, replace(block, other=block.side))
        return self.given(name, block)

    def given(self, name: str, block: Block) -> Read:
        """Reads the caller's array of a state."""
        state = self.state(name)
        return lambda row, at: tir.load(state, (block.first + row, *at))

    def carry(self, name: str, block: Block, row: Expr, at: Indices, value: Expr) -> Stmt:
        """Store an element of a state's next value."""
        if self._is_turned(name):
            return self.write(name, block, row, at, value)
        return tir.store(self.state(name), (block.first + row, *at), value)

    def output_rows(self, name: str) -> Buffer:
        """The caller's array of an output, as [T * B, *shape]."""
        return self._output_rows[name]

    def total(self, position: int) -> Buffer:
        """The caller's array of a shared result."""
        return self._totals[position].buffer

    def read(self, value: int, block: Block, held: frozenset[str] = frozenset()) -> Read:
        """Reads a value of the graph; ``held`` are the states carried by the present scan."""
        found = self.graph.definition(value)
        if isinstance(found, Leaf):
            return self._read_leaf(value, found, block, held)
        if found.op in CONSTANTS:
            return CONSTANTS[found.op](found, self.dtype)
        if found.op in VIEWS:
            operand = found.operands[0]
            sizes = self.graph.type_of(operand).sizes
            if found.op == "slice" and not self._divides(operand):
                return shifted(found, self.read(operand, block, held), tir.offset)
            return VIEWS[found.op](found, sizes, self.read(operand, block, held), self.dtype)
        return self.load(value, block)

    def _divides(self, value: int) -> bool:
        """Whether reading a value takes apart its indices, which goes best with constants."""
        found = self.graph.definition(value)
        if isinstance(found, Leaf) or found.op not in VIEWS:
            return False
        return found.op == "reshape" or self._divides(found.operands[0])

    def _read_leaf(self, value: int, leaf: Leaf, block: Block, held: frozenset[str]) -> Read:
        if leaf.role is LeafRole.PARAM:
            return self.weights.read(value)
        if leaf.role is LeafRole.INPUT:
            rows = self._input_rows[leaf.name]
            return lambda row, at: tir.load(rows, (block.base + row, *at))
        if leaf.name in held:
            return self.carried(leaf.name, block)
        return self.load(value, block)
