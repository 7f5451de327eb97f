"""What a kernel is called with: names, shapes and layouts, without TVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnndsl.compiler.cost import StageWork, Work

Array = NDArray[np.floating]
Shape = tuple[int, ...]

ITEM_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}


def computed_in(dtype: str) -> str:
    """The type of a kernel's arithmetic and workspace, where arrays are of type ``dtype``."""
    return "float32" if ITEM_BYTES[dtype] < ITEM_BYTES["float32"] else dtype


@dataclass(frozen=True, slots=True)
class Packing:
    """How a weight is laid out for a kernel.

    Its axes are put in ``order``; the axis then at ``position`` is cut into tiles of ``tile``
    elements (zeros behind the last), and the places within a tile become the last axis.
    """

    order: tuple[int, ...]
    position: int
    tile: int

    def shape(self, shape: Shape) -> Shape:
        """The packed shape of an array of ``shape``."""
        ordered = [shape[axis] for axis in self.order]
        ordered[self.position] = -(-ordered[self.position] // self.tile)
        return (*ordered, self.tile)

    def pack(self, array: Array) -> Array:
        """The array in this layout."""
        ordered = array.transpose(self.order)
        size = ordered.shape[self.position]
        widths = [(0, 0)] * ordered.ndim
        widths[self.position] = (0, -size % self.tile)
        padded = np.pad(ordered, widths)
        lead, rest = padded.shape[: self.position], padded.shape[self.position + 1 :]
        tiled = padded.reshape(*lead, -1, self.tile, *rest)
        return np.ascontiguousarray(np.moveaxis(tiled, self.position + 1, -1))


@dataclass(frozen=True, slots=True)
class Stream:
    """An input or output [T, B, *shape], or a state [B, *shape]."""

    name: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter as the kernel takes it; ``source`` is its name in the cell."""

    name: str
    source: str
    source_shape: Shape
    packing: Packing | None = None

    @property
    def shape(self) -> Shape:
        return self.packing.shape(self.source_shape) if self.packing else self.source_shape

    def pack(self, array: Array, dtype: str) -> Array:
        """The array to pass, from the parameter ``source``."""
        typed = np.asarray(array, computed_in(dtype)).reshape(self.source_shape)
        return self.packing.pack(typed) if self.packing else np.ascontiguousarray(typed)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Elements of scratch memory: ``fixed + per_part * parts + per_row * T * B``.

    Parts are what the threads of a call do, each in memory of its own.
    """

    fixed: int
    per_row: int
    per_part: int = 0

    def elements(self, steps: int, batch: int, parts: int = 1) -> int:
        return self.fixed + self.per_part * parts + self.per_row * steps * batch


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a kernel, in order: inputs, weights, states, outputs, totals, workspace.

    States are updated in place: they hold the initial values before and the final ones
    after.  ``totals`` are the shared results [*shape] (SUM and VALUE results of the graph).
    All arrays are dense, of type ``dtype``, and aligned to their elements; the workspace is
    float32 where ``dtype`` has 16 bits, and so are weights packed by the caller.  ``stages`` tell
    how long a call takes, on one thread or more.
    """

    symbol: str
    dtype: str
    inputs: tuple[Stream, ...]
    weights: tuple[Weight, ...]
    states: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    totals: tuple[Stream, ...]
    workspace: Workspace
    stages: tuple[StageWork, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Signature:
        """A signature that went through JSON; KeyError or TypeError if it is none."""
        streams = {
            name: tuple(Stream(s["name"], tuple(s["shape"])) for s in found[name])
            for name in ("inputs", "states", "outputs", "totals")
        }
        return cls(
            symbol=found["symbol"],
            dtype=found["dtype"],
            weights=tuple(_weight(w) for w in found["weights"]),
            workspace=Workspace(**found["workspace"]),
            stages=tuple(_stage(s) for s in found["stages"]),
            **streams,
        )


def _stage(found: Mapping[str, Any]) -> StageWork:
    loops = tuple(Work(**loop) for loop in found["loops"])
    return StageWork(found["scan"], loops, tuple(found["split"]), found["waits"])


def _weight(found: Mapping[str, Any]) -> Weight:
    packing = found["packing"]
    if packing is not None:
        packing = Packing(tuple(packing["order"]), packing["position"], packing["tile"])
    return Weight(found["name"], found["source"], tuple(found["source_shape"]), packing)
