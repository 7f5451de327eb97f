"""The diagram: what a drawing of a cell shows, before anything has a place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rnndsl.compiler.drawing.text import Label


class Shape(Enum):
    """How a block looks, and what it stands for."""

    INPUT = "input"  # an input of the step
    STATE = "state"  # a state, as the step before left it
    NEXT = "next"  # a state, as this step leaves it
    OUTPUT = "output"  # what the cell returns
    LINEAR = "linear"  # matrices times vectors, plus bias
    GATE = "gate"  # the same with a function on top
    POINT = "point"  # an elementwise operator
    FUNCTION = "function"  # any other function


SOURCES = (Shape.INPUT, Shape.STATE)
SINKS = (Shape.NEXT, Shape.OUTPUT)


@dataclass(frozen=True, slots=True)
class Block:
    """One shape with its text.

    ``values`` are the graph's values drawn as this block, the last being the one that
    leaves it; ``note`` is a second, smaller line.  ``name`` is the plain name of a leaf or
    result.  ``ordered`` blocks tell their operands apart, left to right.  ``returned``
    marks a value that leaves the cell: an OUTPUT with a name of its own, or a NEXT state.
    ``stage`` is an index into a plan.
    """

    shape: Shape
    label: Label
    note: Label = ()
    values: tuple[int, ...] = ()
    name: str = ""
    ordered: bool = False
    returned: bool = False
    stage: int | None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """A value on its way from one block to all the blocks that read it.

    ``targets`` are pairs of block index and operand position.
    """

    source: int
    targets: tuple[tuple[int, int], ...]
    label: Label = ()


@dataclass(frozen=True, slots=True)
class Diagram:
    """Blocks and wires; wires refer to blocks by index, and run from lower to higher ones."""

    title: str
    blocks: tuple[Block, ...]
    wires: tuple[Wire, ...]
    stages: tuple[str, ...] = ()  # the kind of each stage of the plan, if there is one
