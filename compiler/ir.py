"""The graph: immutable, typed, topologically ordered equations of one time step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache

from rnndsl.dims import Dim
from rnndsl.source import Span

AttrValue = int | float | str | bool | tuple[int, ...] | tuple[str, ...] | tuple[Dim, ...]
Attrs = tuple[tuple[str, AttrValue], ...]


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value: the shape of one example, and whether each example has its own.

    ``batched`` values differ between the examples of a batch and between time steps.  The
    others are shared: they depend on parameters and constants alone, so they are computed
    once per sequence.  Batch and time are implicit: no shape ever names them.
    """

    shape: tuple[Dim, ...]
    batched: bool

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape as numbers; DimError while a dimension is unbound."""
        return tuple(int(d) for d in self.shape)

    def __str__(self) -> str:
        return ("batch" if self.batched else "shared") + f"[{', '.join(map(str, self.shape))}]"


class LeafRole(Enum):
    """Where a leaf's value comes from."""

    INPUT = "input"  # a per-step stream: one value for each time step
    STATE = "state"  # the value that the result of the same name had one step before
    PARAM = "param"  # a shared value: a parameter, or one derived from parameters


class ResultRole(Enum):
    """What happens to a result."""

    OUTPUT = "output"  # a per-step stream
    STATE = "state"  # carried to the next step, into the state leaf of the same name
    SUM = "sum"  # shared: summed over time steps (the gradient of a parameter)
    VALUE = "value"  # shared: computed once (results of a prepare graph)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A named value that enters the graph."""

    name: str
    role: LeafRole
    type: Type
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Node:
    """One equation: ``op`` applied to earlier values, named by their indices.

    ``name`` is the name in the user's file, where the value has one; it can be tapped.
    """

    op: str
    operands: tuple[int, ...]
    attrs: Attrs
    type: Type
    name: str = ""
    span: Span | None = field(default=None, compare=False)

    def attr(self, key: str) -> AttrValue:
        """The attribute ``key``; KeyError if the node has none."""
        return dict(self.attrs)[key]


@dataclass(frozen=True, slots=True)
class Result:
    """A named value that leaves the graph."""

    name: str
    role: ResultRole
    value: int


@dataclass(frozen=True, slots=True)
class Graph:
    """A step graph.  Value ``k`` is leaf ``k``, or node ``k - len(leaves)``.

    Every operand index is smaller than the index of the node that uses it, so the order is
    topological by construction.  Each STATE leaf has one STATE result of the same name.
    """

    name: str
    leaves: tuple[Leaf, ...]
    nodes: tuple[Node, ...]
    results: tuple[Result, ...]

    def type_of(self, value: int) -> Type:
        return self.definition(value).type

    def definition(self, value: int) -> Leaf | Node:
        count = len(self.leaves)
        return self.leaves[value] if value < count else self.nodes[value - count]

    def node_values(self) -> Iterable[tuple[int, Node]]:
        """Pairs of value index and node, in order."""
        return enumerate(self.nodes, start=len(self.leaves))

    def leaf_index(self, name: str, role: LeafRole) -> int:
        """The value index of a leaf; KeyError if there is none of that name and role."""
        for index, leaf in enumerate(self.leaves):
            if leaf.name == name and leaf.role is role:
                return index
        raise KeyError(f"no {role.value} {name!r} in graph {self.name}")

    def leaves_of(self, role: LeafRole) -> tuple[Leaf, ...]:
        return tuple(leaf for leaf in self.leaves if leaf.role is role)

    def results_of(self, role: ResultRole) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.role is role)

    @property
    def dims(self) -> frozenset[str]:
        """The dimension names that are still unbound."""
        values: tuple[Leaf | Node, ...] = (*self.leaves, *self.nodes)
        return frozenset(name for v in values for d in v.type.shape for name in d.names)

    def bind(self, sizes: Mapping[str, int]) -> Graph:
        """The same graph with dimension names replaced by sizes, in types and attributes."""

        @cache
        def length(dim: Dim) -> Dim:
            return dim.bind(sizes)

        @cache
        def bound(kind: Type) -> Type:
            return Type(tuple([length(d) for d in kind.shape]), kind.batched)

        return replace(
            self,
            leaves=tuple(replace(leaf, type=bound(leaf.type)) for leaf in self.leaves),
            nodes=tuple(
                replace(n, type=bound(n.type), attrs=_bind_attrs(n.attrs, length))
                for n in self.nodes
            ),
        )


def _bind_attrs(attrs: Attrs, length: Callable[[Dim], Dim]) -> Attrs:
    return tuple(
        (key, tuple(length(d) if isinstance(d, Dim) else d for d in value))  # type: ignore[misc]
        if isinstance(value, tuple)
        else (key, value)
        for key, value in attrs
    )
