"""Where values lie in the workspace of a kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from rnndsl.backends.tvm.schedule import Schedule, StageSteps, Storage
from rnndsl.backends.tvm.signature import Shape, Workspace
from rnndsl.compiler.ir import Graph, LeafRole, Node

# Rows (examples at time steps) that one block of a stage works on, and the elements that their
# values may have together: what a core's own cache holds.
_MOST_ROWS = 32
_MOST_ELEMENTS = 1 << 18
# Offsets are whole cache lines, in elements of 4 bytes.
_LINE = 16

# A value of the graph, or a state: its next value where that is copied aside, or both its places.
Key = int | str


@dataclass(frozen=True, slots=True)
class Slot:
    """Memory of one value: from ``offset`` of what is shared or of a part's own memory on, or
    from ``offset * T * B`` of the streams on.  ``rows`` are those of a block.
    """

    storage: Storage
    offset: int
    shape: Shape  # of one row
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Slots by value, the rows of a block of each stage, and the size of the workspace."""

    slots: dict[Key, Slot]
    rows: tuple[int, ...]
    workspace: Workspace


def layout(schedule: Schedule, graph: Graph, turned: Sequence[tuple[str, ...]]) -> Layout:
    """Places for all values with memory of their own.

    Blocks of different stages share memory; shared values and streams do not.  Of each stage the
    states that are ``turned`` have two places.
    """
    slots: dict[Key, Slot] = {}
    shared, per_row, own = 0, 0, 0
    for value, storage in sorted(schedule.storage.items()):
        shape = graph.type_of(value).sizes
        if value in schedule.parts:
            continue
        if storage is Storage.SHARED:
            slots[value] = Slot(storage, shared, shape)
            shared += whole_lines(prod(shape))
        elif storage is Storage.PART:
            slots[value] = Slot(storage, own, shape)
            own += whole_lines(prod(shape))
        elif storage is Storage.STREAM:
            slots[value] = Slot(storage, per_row, shape)
            per_row += prod(shape)
    per_part = own
    rows = []
    for stage, states in zip(schedule.stages, turned, strict=True):
        offset, values = own, dict(_block_values(schedule, stage, graph))
        rows.append(_rows(values, stage, graph))
        for key, shape in values.items():
            slots[key] = Slot(Storage.BLOCK, offset, shape, rows[-1])
            offset += whole_lines(prod(shape) * rows[-1])
        for name in states:
            shape = graph.type_of(graph.leaf_index(name, LeafRole.STATE)).sizes
            slots[name] = Slot(Storage.BLOCK, offset, shape, 2 * rows[-1])
            offset += whole_lines(prod(shape) * 2 * rows[-1])
        per_part = max(per_part, offset)
    return Layout(slots, tuple(rows), Workspace(shared, per_row, per_part))


def _rows(values: dict[Key, Shape], stage: StageSteps, graph: Graph) -> int:
    """As many rows as the cache holds, at least one."""
    states = (graph.leaf_index(name, LeafRole.STATE) for name in stage.states)
    shapes = [*values.values(), *(graph.type_of(leaf).sizes for leaf in states)]
    return max(1, min(_MOST_ROWS, _MOST_ELEMENTS // max(1, sum(map(prod, shapes)))))


def _block_values(
    schedule: Schedule, stage: StageSteps, graph: Graph
) -> Iterator[tuple[Key, Shape]]:
    for step in stage.steps:
        for value in step.values:
            if schedule.storage.get(value) is Storage.BLOCK and value not in schedule.parts:
                yield value, graph.type_of(value).sizes
    for name in stage.swapped:
        yield name, graph.type_of(graph.leaf_index(name, LeafRole.STATE)).sizes


def whole_lines(elements: int) -> int:
    """As many elements as fill the cache lines that ``elements`` need."""
    return -(-elements // _LINE) * _LINE


def display_name(graph: Graph, key: Key) -> str:
    """The name of a value in printed kernels."""
    if isinstance(key, str):
        return f"{key}_next"
    found = graph.definition(key)
    return found.name or (f"{found.op}_{key}" if isinstance(found, Node) else f"v{key}")
