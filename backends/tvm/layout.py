"""Where values lie in the workspace of a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from rnndsl.backends.tvm.schedule import Schedule, StageSteps, Storage
from rnndsl.backends.tvm.signature import Shape, Workspace
from rnndsl.compiler.ir import Graph, LeafRole, Node

# Rows (examples at time steps) that one block of a stage works on.
BLOCK_ROWS = 32
# Offsets are whole cache lines, in elements of 4 bytes.
_LINE = 16

# A value of the graph, or the next value of a state that is copied aside.
Key = int | str


@dataclass(frozen=True, slots=True)
class Slot:
    """Memory of one value: from ``offset``, or ``offset * T * B`` on behind the fixed part."""

    storage: Storage
    offset: int
    shape: Shape  # of one row


@dataclass(frozen=True, slots=True)
class Layout:
    """Slots by value, and the size of the workspace that holds them."""

    slots: dict[Key, Slot]
    workspace: Workspace


def layout(schedule: Schedule, graph: Graph) -> Layout:
    """Places for all values with memory of their own.

    Blocks of different stages share memory; shared values and streams do not.
    """
    slots: dict[Key, Slot] = {}
    shared, per_row = 0, 0
    for value, storage in sorted(schedule.storage.items()):
        shape = graph.type_of(value).sizes
        if value in schedule.parts:
            continue
        if storage is Storage.SHARED:
            slots[value] = Slot(storage, shared, shape)
            shared += whole_lines(prod(shape))
        elif storage is Storage.STREAM:
            slots[value] = Slot(storage, per_row, shape)
            per_row += prod(shape)
    fixed = shared
    for stage in schedule.stages:
        offset = shared
        for key, shape in _block_values(schedule, stage, graph):
            slots[key] = Slot(Storage.BLOCK, offset, shape)
            offset += whole_lines(prod(shape) * BLOCK_ROWS)
        fixed = max(fixed, offset)
    return Layout(slots, Workspace(fixed, per_row))


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
