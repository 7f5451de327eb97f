"""A plan as one TensorIR function: a whole sequence, any number of steps and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tvm import ir, tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.arranging import arrange
from rnndsl.backends.tvm.entry import table_entry
from rnndsl.backends.tvm.groups import work_of
from rnndsl.backends.tvm.layout import layout
from rnndsl.backends.tvm.llvm_text import called_functions, with_called
from rnndsl.backends.tvm.lower_loops import each_element, each_vector
from rnndsl.backends.tvm.lower_steps import Held, lower_step, next_value
from rnndsl.backends.tvm.lower_values import Block, Values
from rnndsl.backends.tvm.lower_views import Indices, Read, Sizes
from rnndsl.backends.tvm.options import Options, Passed
from rnndsl.backends.tvm.packing import Piece, pack
from rnndsl.backends.tvm.schedule import Schedule, StageSteps, Step
from rnndsl.backends.tvm.signature import Packing, Signature, computed_in
from rnndsl.backends.tvm.team import Columns, Team
from rnndsl.backends.tvm.tir import Buffer, Expr, Stmt
from rnndsl.backends.tvm.totals import with_totals_in_place
from rnndsl.backends.tvm.work import Run, is_in_pieces, runs
from rnndsl.compiler.cost import LEAST_ROWS
from rnndsl.compiler.ir import LeafRole, ResultRole
from rnndsl.compiler.plan import Plan, StageKind

_DEFAULT = Options()
_ALONE = Team()


@dataclass(frozen=True, slots=True)
class Kernel:
    """A lowered plan: how it is called, and its functions by symbol or variable."""

    signature: Signature
    functions: Mapping[Any, tirx.PrimFunc]

    def without_entry(self) -> Kernel:
        """The kernel without the function that TVM can call."""
        kept = {name: f for name, f in self.functions.items() if name != self.signature.symbol}
        return Kernel(self.signature, kept)

    def script(self) -> str:
        """The functions as TVM script."""
        return str(ir.IRModule(dict(self.functions)).script())


def lower(
    plan: Plan, dtype: str = "float32", symbol: str = "sequence", options: Options = _DEFAULT
) -> Kernel:
    """The kernel of a plan over a bound graph.

    ``dtype`` is float32 or float64.  Raises RnndslError for a node without a lowering.
    """
    joined = () if options.packed_weights else plan.joined
    arranged = arrange(plan, options)
    plan, steps = arranged.plan, arranged.schedule
    if computed_in(dtype) == dtype:  # sums of narrow numbers want a wider place
        steps = with_totals_in_place(plan.graph, steps)
    with tir.analysis(), called_functions() as called:
        places = layout(steps, plan.graph)
        values = Values(plan.graph, steps, places, joined, dtype, options, symbol)
        with values.outline.current():
            body = _Body(values, steps, plan.reverse).statements()
            packed = [_packed(values, *entry) for entry in values.weights.packings()]
    # Last, when every weight has been asked for.
    params, declared = values.finish()
    whole = with_called(called, tir.sequence([*declared, *packed, body]))
    signature, parts = values.signature(symbol), values.outline.functions
    if options.shared:
        signature = replace(signature, stages=work_of(arranged))
    if options.passing is Passed.TABLE:
        return Kernel(signature, {**table_entry(symbol, params, whole, options.shared), **parts})
    function = tirx.PrimFunc(params, whole)
    function = function.with_attr("global_symbol", symbol).with_attr("tirx.noalias", True)
    return Kernel(signature, {symbol: function, **parts})


def _packed(values: Values, value: int, packing: Packing | None, buffer: Buffer) -> Stmt | None:
    """A weight put into a layout before the first step, part by part."""
    zero = tir.number(0, values.dtype)

    def one(piece: Piece) -> Stmt | None:
        if packing is not None:
            return pack(packing, piece, buffer, values.width, zero, values.team)

        def copy(row: Expr, at: Indices) -> Stmt:
            return tir.store(buffer, piece.place(at), piece.read(row, at))

        return values.team.first_alone(each_element(1, piece.sizes, values.width, copy))

    pieces = values.weights.pieces(value)
    return tir.sequence([values.outline.call(partial(one, piece)) for piece in pieces])


class _Body:
    """The statements of a kernel."""

    def __init__(self, values: Values, schedule: Schedule, reverse: bool) -> None:
        self.values, self.schedule, self.reverse = values, schedule, reverse
        self.graph = values.graph
        self.width = values.width
        self.once = Block(1, tir.index(0), tir.index(0))

    def statements(self) -> Stmt | None:
        """What is shared first, then all else block by block of time."""
        team = self.values.team
        before = [self._step(step, self.once) for step in self.schedule.before]
        return tir.sequence(
            [
                team.first_alone(tir.sequence(before)),
                team.wait(self.values.outline),
                self.values.time.each(self._block_of_time, self.reverse),
            ]
        )

    def _block_of_time(self) -> Stmt | None:
        """Stage by stage, then totals and delayed states."""
        team = self.values.team
        apart = [value for value in self.schedule.totals if self.values.is_apart(value)]
        after = [
            *(self._gathered(value) for value in apart),
            *(self._step(step, self.once) for step in self.schedule.after),
            *(self._total(k) for k in range(len(self.values.totals))),
            *(
                self._last_delayed(name)
                for stage in self.schedule.stages
                if stage.kind is StageKind.PARALLEL
                for name in stage.states
            ),
        ]
        last = team.first_alone(tir.sequence(after))
        return tir.sequence(
            [
                *self.values.declarations_of_block,
                *(self._clear(value) for value in apart),
                *(self._stage(k, stage) for k, stage in enumerate(self.schedule.stages)),
                team.wait(self.values.outline) if last is not None else None,
                last,
                team.wait(self.values.outline) if self.values.time.lengths else None,
            ]
        )

    def _step(
        self, step: Step, block: Block, held: Held = frozenset(), team: Team = _ALONE
    ) -> Stmt | None:
        return self.values.outline.call(
            lambda: lower_step(self.values, step, block, held, self.reverse, team)
        )

    def _copy(
        self,
        block: Block,
        sizes: Sizes,
        read: Read,
        store: Callable[[Expr, Indices, Expr], Stmt],
        team: Team = _ALONE,
    ) -> Stmt | None:
        def element(row: Expr, at: Indices, scope: tir.Scope) -> Stmt:
            return store(row, at, read(row, at))

        return self.values.outline.call(
            lambda: each_vector(block.count, sizes, self.width, element, team)
        )

    # ------------------------------------------------------------------ stages

    def _stage(self, position: int, stage: StageSteps) -> Stmt | None:
        values, size = self.values, self.values.rows_of_block(position)
        everything = Block(values.rows, tir.index(0), tir.index(0))
        # What a stage computes is there for all parts before the next one.
        totals = (self._step(step, everything, team=values.team) for step in stage.sums)
        sums = [values.team.wait(values.outline), *totals]
        columns = values.columns_of(stage) or Columns()
        team = replace(columns.team, apart=is_in_pieces(self.graph, self.schedule, stage))
        if stage.kind is StageKind.PARALLEL:
            rows = self._blocks(
                values.rows,
                size,
                lambda first, n: self._rows_of(stage, Block(n, first, first), team=team),
                values.options.machine.rows,
                columns,
            )
            return tir.sequence([rows, *sums])

        def examples(first: Expr, count: Expr) -> Stmt | None:
            def at_time(step: Expr) -> Stmt | None:
                time = values.time.steps - 1 - step if self.reverse else step
                turn = tirx.bitwise_and(step, tir.index(1))
                base, named = tir.bind("base", time * values.batch + first, tir.INDEX)
                turned, flagged = tir.bind("turn", turn, tir.INDEX)
                block = Block(count, base, first, turned)
                inner = self._rows_of(stage, block, frozenset(stage.states), team)
                return None if inner is None else tir.sequence([named, flagged, inner])

            return tir.loop(values.time.steps, at_time, "t")

        rows = self._blocks(values.batch, size, examples, LEAST_ROWS, columns)
        return tir.sequence([rows, *sums])

    def _blocks(
        self,
        rows: Expr,
        size: int,
        body: Callable[[Expr, Expr], Stmt | None],
        multiple: int,
        columns: Columns,
    ) -> Stmt | None:
        """``body(first, count)`` for blocks of up to ``size`` rows, in the order of time, a
        ``multiple`` of them for each part, or all where the parts share ``columns``."""
        start, stop, shared = self.values.team.share(rows, multiple)
        if columns.team.is_shared:
            start = tirx.Select(columns.few > 0, tir.index(0), start)
            stop = tirx.Select(columns.few > 0, rows, stop)
        count = tirx.floordiv(stop - start + (size - 1), tir.index(size))

        def one(block: Expr) -> Stmt | None:
            number = count - 1 - block if self.reverse else block
            first, named = tir.bind("first", start + number * size, tir.INDEX)
            least = tirx.min(tir.index(size), stop - first)
            length, counted = tir.bind("rows", least, tir.INDEX)
            inner = body(first, length)
            return None if inner is None else tir.sequence([named, counted, inner])

        return tir.sequence([*shared, tir.loop(count, one, "block")])

    def _rows_of(
        self, stage: StageSteps, block: Block, held: Held = frozenset(), team: Team = _ALONE
    ) -> Stmt | None:
        """All that a stage does with a block; the parts of ``team`` share what they can."""
        if team.is_shared and team.apart:
            own = [self._step(step, block, held, team) for step in stage.steps]
            own += (self._output(name, value, block, held, team) for name, value in _pairs(stage))
            own += self._advance(stage, block, held, team) if held else ()
            return tir.sequence(own)
        done, alone = list[Stmt | None](), list[Stmt | None]()
        all_alone = [Run(stage.steps, False)]
        for run in runs(self.graph, self.schedule, stage) if team.is_shared else all_alone:
            found = [
                self._step(s, block, held, team if run.is_shared else _ALONE) for s in run.steps
            ]
            if run.is_shared:
                done += [*self._alone(alone, team), *found, team.wait(self.values.outline)]
                alone = []
            else:
                alone += found
        alone += (self._output(name, value, block, held) for name, value in _pairs(stage))
        alone += self._advance(stage, block, held) if held else ()
        return tir.sequence([*done, *self._alone(alone, team)])

    def _alone(self, statements: list[Stmt | None], team: Team) -> list[Stmt | None]:
        """What the first part does while the others wait."""
        body = tir.sequence(statements)
        return [] if body is None else [team.first_alone(body), team.wait(self.values.outline)]

    def _output(
        self, name: str, value: int, block: Block, held: Held, team: Team = _ALONE
    ) -> Stmt | None:
        rows = self.values.output_rows(name)
        return self._copy(
            block,
            self.graph.type_of(value).sizes,
            self.values.read(value, block, held),
            lambda row, at, element: tir.store(rows, (block.base + row, *at), element),
            team,
        )

    def _advance(
        self, stage: StageSteps, block: Block, held: Held, team: Team = _ALONE
    ) -> list[Stmt | None]:
        """The carried states take their next values, those read from states first aside."""
        values, aside, moves = self.values, list[Stmt | None](), list[Stmt | None]()
        stored = {name for names in self.schedule.in_place.values() for name in names}
        for name in (name for name in stage.states if name not in stored):
            leaf = self.graph.leaf_index(name, LeafRole.STATE)
            result, sizes = next_value(values, name), self.graph.type_of(leaf).sizes
            if result == leaf:
                continue
            read = values.read(result, block, held)
            if name in stage.swapped:
                aside.append(self._copy(block, sizes, read, _writer(values, name, block)))
                read = values.load(name, block)
            writer = _state_writer(values.state(name), block)
            moves.append(self._copy(block, sizes, read, writer, team))
        return aside + moves

    # ------------------------------------------------------------------ what is shared

    def _clear(self, value: int) -> Stmt | None:
        zero = tir.number(0, self.values.dtype)
        return self._copy(
            self.once,
            self.graph.type_of(value).sizes,
            lambda row, at: zero,
            lambda row, at, element: self.values.write(value, self.once, row, at, element),
        )

    def _gathered(self, value: int) -> Stmt | None:
        """What the other parts summed up, added to what the first did, part by part."""
        values = self.values

        def another(part: Expr) -> Stmt | None:
            theirs, declared = values.of_part(value, part)

            def added(row: Expr, at: Indices, element: Expr) -> Stmt:
                own = values.load(value, self.once)(row, at)
                return values.write(value, self.once, row, at, own + element)

            sizes = self.graph.type_of(value).sizes
            read = lambda row, at: tir.load(theirs, at)
            return tir.sequence([declared, self._copy(self.once, sizes, read, added)])

        if not values.team.is_shared:
            return None
        return tir.loop(values.team.parts, another, "part", start=1)

    def _total(self, position: int) -> Stmt | None:
        result = self.values.totals[position]
        if self.values.is_in_place(result.value):
            return None
        buffer, read = self.values.total(position), self.values.read(result.value, self.once)
        if result.role is ResultRole.SUM and not self.schedule.is_late(result.value):
            # A value that does not change over time, once for each step.
            steps, one = tirx.Cast(self.values.dtype, self.values.time.steps), read
            read = lambda row, at: one(row, at) * steps

        def store(row: Expr, at: Indices, element: Expr) -> Stmt:
            if result.role is ResultRole.SUM:
                zero = tir.number(0, self.values.dtype)
                fresh = self.values.time.fresh
                element = tirx.Select(fresh, zero, tir.load(buffer, at)) + element
            return tir.store(buffer, at, element)

        return self._copy(self.once, self.graph.type_of(result.value).sizes, read, store)

    def _last_delayed(self, name: str) -> Stmt | None:
        """A delayed state after the sequence: its result at the last step."""
        values = self.values
        base = tir.index(0) if self.reverse else values.rows - values.batch
        block = Block(values.batch, base, tir.index(0))
        leaf = self.graph.leaf_index(name, LeafRole.STATE)
        return self._copy(
            block,
            self.graph.type_of(leaf).sizes,
            values.read(next_value(values, name), block),
            _state_writer(values.state(name), block),
        )


def _pairs(stage: StageSteps) -> list[tuple[str, int]]:
    return [(result.name, result.value) for result in stage.copies]


def _writer(values: Values, key: str, block: Block) -> Callable[[Expr, Indices, Expr], Stmt]:
    return lambda row, at, element: values.write(key, block, row, at, element)


def _state_writer(state: Buffer, block: Block) -> Callable[[Expr, Indices, Expr], Stmt]:
    return lambda row, at, element: tir.store(state, (block.first + row, *at), element)
