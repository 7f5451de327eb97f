"""Save or recompute: which forward values the backward pass is given, by minimum cut.

The backward pass reads values of the forward pass.  Each may be saved (written once, read once)
or computed again from others that are there.  What is there for nothing: parameters, inputs,
outputs, and the states before each step that an output or an input holds.  The cheapest choice is
a minimum cut between what is there and what is read, as in AOTAutograd's partitioner; the aim,
less memory for a little arithmetic, is that of Chen et al. 2016.

Everything computed again is computed for all time steps at once: a value that depends on states
starts from the states before each step, which are streams.  So the loop over time grows by nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

import networkx as nx
from networkx.algorithms.flow import boykov_kolmogorov

from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole
from rnndsl.compiler.ops import node_flops
from rnndsl.compiler.separate import CONSTANT_OPS

_FLOAT = 4  # bytes; what is weighed are ratios, which are the same for other types
_EACH_STREAM = 1  # byte: so that one wide stream is taken before its parts
_OPEN_SIZE = 240  # of dimensions without a size yet: divisible by most small numbers
_MOST_UNDECIDED = 3  # states tried with and without their stream; further ones get it
Vertex = tuple[str, int]  # "in" or "out" of a value; or one of these:
_SOURCE, _SINK = ("source", -1), ("sink", -1)
_NEVER = frozenset({"inverse"})
_SEQUENTIAL = frozenset({"cumsum", "cummax", "linear_scan", "max_scan", "argmax"})
# What only names elements of another value in another way.
_VIEWS = frozenset({"broadcast", "reshape", "transpose", "slice", "stop_grad"})


@dataclass(frozen=True, slots=True)
class Preference:
    """What computing again costs, in bytes of memory traffic.

    ``per_flop``: of an op, by its count of operations; ``per_moved``: of a byte that is only
    copied (concat, pad, gather).  ``products``: whether matrix products may be computed again.
    """

    per_flop: float
    per_moved: float
    products: bool = False


# A core does about one operation in the time of one byte; tanh and its kin take about ten.
TIME = Preference(per_flop=1.0, per_moved=0.5)
# As little memory as can be had without running the loop over time a second time.
MEMORY = Preference(per_flop=1e-4, per_moved=1e-4, products=True)


@dataclass(frozen=True, slots=True)
class _Stream:
    """A state whose stream before each step is no input or output: its leaf and next value."""

    leaf: int
    next_value: int


def cheapest_saved(forward: Graph, read: frozenset[int], preference: Preference) -> frozenset[int]:
    """The values to save of those that ``forward`` computes, if the backward pass reads ``read``.

    ``read`` are values of ``forward``, state leaves among them where their streams are read.
    """
    bound = forward.bind(dict.fromkeys(forward.dims, _OPEN_SIZE))
    problem = _Problem(bound, read, preference)
    fixed = [s for s in problem.streams if s.leaf in read]
    open_ones = [s for s in problem.streams if s.leaf not in read]
    fixed += open_ones[_MOST_UNDECIDED:]
    choices = product((False, True), repeat=len(open_ones[:_MOST_UNDECIDED]))
    found = []
    for chosen in choices:
        bought = [*fixed, *(s for s, taken in zip(open_ones, chosen, strict=False) if taken)]
        cost, saved = problem.cut(bought)
        there = saved | problem.held(bought)
        found.append((cost + sum(problem.price(s.leaf) for s in bought), len(saved), sorted(there)))
    return frozenset(min(found)[2])


class _Problem:
    """The cut of one graph, for any choice of the states whose streams are there."""

    def __init__(self, graph: Graph, read: frozenset[int], preference: Preference) -> None:
        self.graph, self.read, self.preference = graph, read, preference
        self.free = {r.value for r in graph.results_of(ResultRole.OUTPUT)}
        self.streams = self._unheld()

    def _unheld(self) -> list[_Stream]:
        found, held = [], set(self.free)
        for result in self.graph.results_of(ResultRole.STATE):
            entry = self.graph.definition(result.value)
            if isinstance(entry, Leaf) and entry.role is not LeafRole.STATE:
                continue
            if result.value not in held:
                leaf = self.graph.leaf_index(result.name, LeafRole.STATE)
                found.append(_Stream(leaf, result.value))
                # One stream serves all states that take this value.
                held.add(result.value)
        return found

    def _size(self, value: int) -> int:
        return _FLOAT * prod(self.graph.type_of(value).sizes)

    def held(self, bought: list[_Stream]) -> frozenset[int]:
        """Computed values that cost nothing to read: outputs, and what states become."""
        values = self.free | {s.next_value for s in bought}
        return frozenset(v for v in values if isinstance(self.graph.definition(v), Node))

    def price(self, value: int) -> int:
        """What a stream costs in bytes of traffic: it is written once and read once."""
        return 2 * self._size(value) + _EACH_STREAM

    def cut(self, bought: list[_Stream]) -> tuple[float, frozenset[int]]:
        """The cost of what is saved and computed again, and the values that are saved."""
        network = self._network(bought)
        if _SINK not in network:
            return 0.0, frozenset()
        cost, (near, _) = nx.minimum_cut(network, _SOURCE, _SINK, flow_func=boykov_kolmogorov)
        return cost, frozenset(
            value
            for value, _ in self.graph.node_values()
            if ("in", value) in near and ("out", value) not in near
        )

    def _network(self, bought: list[_Stream]) -> nx.DiGraph[Vertex]:
        """Beyond the cut lies what the backward pass has: read, made again, or saved.

        To have a value's ``out`` and not its ``in`` is to save it; to have its ``in`` is to
        make it again, and needs the ``out`` of its operands.
        """
        held = self.held(bought)
        missing = {s.leaf for s in self.streams} - {s.leaf for s in bought}
        network: nx.DiGraph[Vertex] = nx.DiGraph()
        for value in missing:
            network.add_edge(_SOURCE, ("out", value))
        for value, node in self.graph.node_values():
            if value in held or node.op in CONSTANT_OPS:
                continue
            inside, out = ("in", value), ("out", value)
            network.add_edge(inside, out, capacity=self.price(value))
            again = self._again(node, value)
            # An edge without a capacity is never cut.
            network.add_edge(_SOURCE, inside, **({} if again is None else {"capacity": again}))
            for operand in node.operands:
                network.add_edge(("out", operand), inside)
        for value in self.read & {value for kind, value in network if kind == "out"}:
            network.add_edge(("out", value), _SINK)
        return network

    def _again(self, node: Node, value: int) -> float | None:
        """What computing a value again costs; None if it must not be."""
        if node.op in _NEVER or (node.op == "contract" and not self.preference.products):
            return None
        if node.op in _SEQUENTIAL and not self.preference.products:
            return None
        flops = node_flops(self.graph, node)
        moved = 0 if flops or node.op in _VIEWS else self._size(value)
        return self.preference.per_flop * flops + self.preference.per_moved * moved


def is_view(graph: Graph, value: int) -> bool:
    """Whether a value only names elements of another one."""
    node = graph.definition(value)
    return isinstance(node, Node) and node.op in _VIEWS


def reason(step: Graph, value: int, is_saved: bool) -> str:
    """Why a value of a bound step graph is saved, or else made again, with TIME."""
    node = step.definition(value)
    assert isinstance(node, Node)
    problem = _Problem(step, frozenset(), TIME)
    cost = problem._again(node, value)
    if not is_saved:
        return f"{node.op} costs less than its stream"
    outputs = [r.name for r in step.results_of(ResultRole.OUTPUT) if r.value == value]
    states = [r.name for r in step.results_of(ResultRole.STATE) if r.value == value]
    if outputs:
        return f"there anyway: it is the output {outputs[0]}"
    if states:
        return f"it is the state {states[0]}, which is read before each step"
    if cost is None:
        return "a product is not repeated" if node.op == "contract" else f"{node.op} is long"
    if cost > problem.price(value):
        return f"{node.op} costs more than its stream"
    if is_view(step, value) and any(_is_product(step, v) for v in node.operands):
        return "part of a product, which is not repeated"
    return "one stream instead of those that it is made of"


def _is_product(graph: Graph, value: int) -> bool:
    node = graph.definition(value)
    if isinstance(node, Node) and node.op in _VIEWS:
        return _is_product(graph, node.operands[0])
    return isinstance(node, Node) and node.op == "contract"
