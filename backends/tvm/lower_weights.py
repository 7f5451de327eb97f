"""The parameters of a kernel: arguments, and the layouts that the kernel itself puts them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.layout import display_name
from rnndsl.backends.tvm.lower_views import Read
from rnndsl.backends.tvm.packing import Piece
from rnndsl.backends.tvm.passing import Passing, plain
from rnndsl.backends.tvm.signature import Packing, Shape, Weight
from rnndsl.backends.tvm.tir import Buffer
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Type
from rnndsl.compiler.plan import Joined
from rnndsl.dims import dim


class Weights:
    """What a kernel has asked for so far.

    Parameters come packed by the caller (then as ``dtype``), or as they are, and joined ones in
    parts; what the kernel packs goes where ``room`` says.
    """

    def __init__(
        self,
        graph: Graph,
        joined: Sequence[Joined],
        passing: Passing,
        dtype: str,
        packed_by_caller: bool,
        room: Callable[[str, Shape], Buffer],
    ) -> None:
        self._graph, self._passing, self._room = graph, passing, room
        self._joined = {entry.name: entry for entry in joined}
        self._dtype, self._packed_by_caller = dtype, packed_by_caller
        self._arguments: dict[tuple[str, Packing | None], tuple[Weight, Buffer]] = {}
        self._packed: dict[tuple[int, Packing | None], Buffer] = {}

    def arguments(self) -> list[tuple[Weight, Buffer]]:
        """In the order of the signature."""
        return list(self._arguments.values())

    def read(self, value: int) -> Read:
        """Reads a parameter as the graph has it."""
        leaf = self._graph.definition(value)
        assert isinstance(leaf, Leaf)
        if leaf.name in self._joined:
            return lambda row, at: tir.load(self.packed(value, None), at)
        return self._read(leaf)

    def packed(self, value: int, packing: Packing | None) -> Buffer:
        """A parameter in a layout: an argument, or workspace that the kernel fills."""
        leaf = self._graph.definition(value)
        if self._packed_by_caller and isinstance(leaf, Leaf):
            return self._argument(leaf, packing)
        key = value, packing
        if key not in self._packed:
            shape = self._graph.type_of(value).sizes
            shape = packing.shape(shape) if packing else shape
            name = f"{plain(display_name(self._graph, value))}_packed"
            self._packed[key] = self._room(name, shape)
        return self._packed[key]

    def packings(self) -> Iterator[tuple[int, Packing | None, Buffer]]:
        """What :meth:`packed` promised so far: values, their layouts, and where they go."""
        for (value, packing), buffer in self._packed.items():
            yield value, packing, buffer

    def pieces(self, value: int) -> Iterator[Piece]:
        """The arguments that hold a parameter: itself, or what it is joined of."""
        leaf, sizes = self._graph.definition(value), self._graph.type_of(value).sizes
        assert isinstance(leaf, Leaf)
        joined = self._joined.get(leaf.name)
        if joined is None:
            yield Piece(sizes, sizes, 0, 0, self._read(leaf))
            return
        axis, start = joined.axis, 0
        for name, size in zip(joined.parts, joined.sizes, strict=True):
            own = (*sizes[:axis], size, *sizes[axis + 1 :])
            part = Leaf(name, LeafRole.PARAM, Type(tuple(map(dim, own)), False))
            yield Piece(own, sizes, axis, start, self._read(part))
            start += size

    def _read(self, leaf: Leaf) -> Read:
        return lambda row, at: tir.load(self._argument(leaf, None), at)

    def _argument(self, leaf: Leaf, packing: Packing | None) -> Buffer:
        """The argument that holds a parameter in a layout."""
        key = (leaf.name, packing)
        if key not in self._arguments:
            taken = {weight.name for weight, _ in self._arguments.values()}
            name, count = leaf.name, 1
            while name in taken:
                count += 1
                name = f"{leaf.name}.{count}"
            weight = Weight(name, leaf.name, leaf.type.sizes, packing)
            kind = self._dtype if self._packed_by_caller else ""
            buffer = self._passing.buffer(plain(name), weight.shape, kind)
            self._arguments[key] = weight, buffer
        return self._arguments[key][1]
