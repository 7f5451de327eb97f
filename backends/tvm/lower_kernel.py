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
from rnndsl.backends.tvm.lower_memory import Block
from rnndsl.backends.tvm.lower_states import advanced, copied, given_back, last_delayed, taken
from rnndsl.backends.tvm.lower_steps import Held, lower_step
from rnndsl.backends.tvm.lower_values import Values
from rnndsl.backends.tvm.lower_vectors import each_element
from rnndsl.backends.tvm.lower_views import Indices, Read, Sizes
from rnndsl.backends.tvm.options import Options, Passed
from rnndsl.backends.tvm.packing import Piece, pack
from rnndsl.backends.tvm.schedule import Schedule, StageSteps, Step
from rnndsl.backends.tvm.sharing import Sharing, sharing
from rnndsl.backends.tvm.signature import Packing, Signature, computed_in
from rnndsl.backends.tvm.team import Columns, Team
from rnndsl.backends.tvm.tir import Buffer, Expr, Stmt
from rnndsl.backends.tvm.totals import with_totals_in_place
from rnndsl.compiler.cost import LEAST_ROWS
from rnndsl.compiler.ir import ResultRole
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
        sharings = [
            sharing(plan.graph, steps, stage) if options.shared else None for stage in steps.stages
        ]
        places = layout(steps, plan.graph, [found.turned if found else () for found in sharings])
        values = Values(plan.graph, steps, places, joined, dtype, options, symbol, sharings)
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
        return Kernel(signature, {**table_entry(symbol, params, whole), **parts})
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
                last_delayed(self.values, name, self.reverse)
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
        return copied(self.values, block, sizes, read, store, team)

    # ------------------------------------------------------------------ stages

    def _stage(self, position: int, stage: StageSteps) -> Stmt | None:
        values, size = self.values, self.values.rows_of_block(position)
        everything = Block(values.rows, tir.index(0), tir.index(0))
        # What a stage computes is there for all parts before the next one.
        totals = (self._step(step, everything, team=values.team) for step in stage.sums)
        sums = [values.team.wait(values.outline), *totals]
        columns = values.columns_of(position) or Columns()
        team, shares = columns.team, values.sharing_of(position)
        if stage.kind is StageKind.PARALLEL:
            rows = self._blocks(
                values.rows,
                size,
                lambda first, n: self._rows_of(stage, Block(n, first, first), shares, team=team),
                values.options.machine.rows,
                columns,
            )
            return tir.sequence([rows, *sums])

        states = values.turned(position)

        def examples(first: Expr, count: Expr) -> Stmt | None:
            def at_time(step: Expr) -> Stmt | None:
                time = values.time.steps - 1 - step if self.reverse else step
                turn = tirx.bitwise_and(step, tir.index(1))
                base, named = tir.bind_index("base", time * values.batch + first)
                turned, flagged = tir.bind_index("turn", turn)
                side, sided = tir.bind_index("side", columns.few * turned)
                other, chosen = tir.bind_index("other", columns.few - side)
                block = Block(count, base, first, turned, side, other)
                inner = self._rows_of(stage, block, shares, frozenset(stage.states), team)
                if inner is None:
                    return None
                sides = [sided, chosen] if states else []
                return tir.sequence([named, flagged, *sides, inner])

            steps = values.time.steps
            last = columns.few * tirx.bitwise_and(steps, tir.index(1))
            begin, end = (Block(count, first, first, other=at) for at in (tir.index(0), last))
            return tir.sequence(
                [
                    *taken(values, states, begin, team),
                    tir.loop(steps, at_time, "t"),
                    *given_back(values, states, end, team),
                ]
            )

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
            few = columns.few > 0
            start, begun = tir.bind_index("start", tirx.Select(few, tir.index(0), start))
            stop, ended = tir.bind_index("stop", tirx.Select(few, rows, stop))
            shared += [begun, ended]
        blocks = tirx.truncdiv(stop - start + (size - 1), tir.index(size))
        count, counted = tir.bind_index("blocks", blocks)

        def one(block: Expr) -> Stmt | None:
            number = count - 1 - block if self.reverse else block
            first, named = tir.bind_index("first", start + number * size)
            least = tirx.min(tir.index(size), stop - first)
            length, measured = tir.bind_index("rows", least)
            inner = body(first, length)
            return None if inner is None else tir.sequence([named, measured, inner])

        return tir.sequence([*shared, counted, tir.loop(count, one, "block")])

    def _rows_of(
        self,
        stage: StageSteps,
        block: Block,
        shares: Sharing | None,
        held: Held = frozenset(),
        team: Team = _ALONE,
    ) -> Stmt | None:
        """All that a stage does with a block; the parts of ``team`` share what they can."""
        if shares is None or team.apart:
            own = [self._step(step, block, held, team) for step in stage.steps]
            return tir.sequence([*own, *self._ended(stage, block, held, team)])
        done = list[Stmt | None]()
        for run in (*shares.runs, shares.end):
            who = team if run.is_shared else _ALONE
            if run is shares.end:
                found = self._ended(stage, block, held, who)
            else:
                found = [self._step(step, block, held, who) for step in run.steps]
            body = tir.sequence(found)
            done += [
                team.wait(self.values.outline) if run.waits else None,
                body if run.is_shared else team.first_alone(body),
            ]
        return tir.sequence(done)

    def _ended(self, stage: StageSteps, block: Block, held: Held, team: Team) -> list[Stmt | None]:
        """What is copied after all steps."""
        copies = [self._output(name, value, block, held, team) for name, value in _pairs(stage)]
        return [*copies, *(advanced(self.values, stage, block, held, team) if held else ())]

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


def _pairs(stage: StageSteps) -> list[tuple[str, int]]:
    return [(result.name, result.value) for result in stage.copies]
