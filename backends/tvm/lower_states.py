"""The states of a kernel, moved: into the places where a scan has them, on from step to step, and
back to the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_memory import Block
from rnndsl.backends.tvm.lower_steps import Held, next_value
from rnndsl.backends.tvm.lower_values import Values
from rnndsl.backends.tvm.lower_vectors import each_vector
from rnndsl.backends.tvm.lower_views import Indices, Read, Sizes
from rnndsl.backends.tvm.schedule import StageSteps
from rnndsl.backends.tvm.team import Team
from rnndsl.backends.tvm.tir import Expr, Stmt
from rnndsl.compiler.ir import LeafRole

_ALONE = Team()
Writer = Callable[[Expr, Indices, Expr], Stmt]


def copied(
    values: Values, block: Block, sizes: Sizes, read: Read, write: Writer, team: Team = _ALONE
) -> Stmt | None:
    """All elements of a block's rows, in a function of its own."""

    def element(row: Expr, at: Indices, scope: tir.Scope) -> Stmt:
        return write(row, at, read(row, at))

    return values.outline.call(lambda: each_vector(block.count, sizes, values.width, element, team))


def taken(values: Values, states: Iterable[str], block: Block, team: Team) -> list[Stmt | None]:
    """States of the caller put into the first of their two places, for all parts to read."""
    found = [
        copied(values, block, sizes, values.given(name, block), _kept(values, name, block), team)
        for name, sizes in _sizes(values, states)
    ]
    # Parts may still read there what is of the examples before.
    return [team.wait(values.outline), *found, team.wait(values.outline)] if found else []


def given_back(
    values: Values, states: Iterable[str], block: Block, team: Team
) -> list[Stmt | None]:
    """States put back from where the last step left them."""
    return [
        copied(values, block, sizes, values.load(name, block), _given(values, name, block), team)
        for name, sizes in _sizes(values, states)
    ]


def advanced(
    values: Values, stage: StageSteps, block: Block, held: Held, team: Team = _ALONE
) -> list[Stmt | None]:
    """The carried states take their next values, those read from states first aside."""
    aside, moves = list[Stmt | None](), list[Stmt | None]()
    stored = {name for names in values.schedule.in_place.values() for name in names}
    for name, sizes in _sizes(values, (n for n in stage.states if n not in stored)):
        result = next_value(values, name)
        if result == values.graph.leaf_index(name, LeafRole.STATE):
            continue
        read = values.read(result, block, held)
        if name in stage.swapped:
            aside.append(copied(values, block, sizes, read, _kept(values, name, block)))
            read = values.load(name, block)
        moves.append(copied(values, block, sizes, read, _carried(values, name, block), team))
    return aside + moves


def last_delayed(values: Values, name: str, reverse: bool) -> Stmt | None:
    """A delayed state after the sequence: its result at the last step."""
    base = tir.index(0) if reverse else values.rows - values.batch
    block = Block(values.batch, base, tir.index(0))
    read = values.read(next_value(values, name), block)
    ((_, sizes),) = _sizes(values, [name])
    return copied(values, block, sizes, read, _given(values, name, block))


def _sizes(values: Values, states: Iterable[str]) -> Iterator[tuple[str, Sizes]]:
    for name in states:
        yield name, values.graph.type_of(values.graph.leaf_index(name, LeafRole.STATE)).sizes


def _kept(values: Values, name: str, block: Block) -> Writer:
    """Writes to the kernel's own memory of a state."""
    return lambda row, at, element: values.write(name, block, row, at, element)


def _carried(values: Values, name: str, block: Block) -> Writer:
    """Writes to where the next step reads a state."""
    return lambda row, at, element: values.carry(name, block, row, at, element)


def _given(values: Values, name: str, block: Block) -> Writer:
    """Writes to the caller's array of a state."""
    state = values.state(name)
    return lambda row, at, element: tir.store(state, (block.first + row, *at), element)
