"""Factors and addends of matrix states, taken apart: along which axes they really vary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import ints_attr, parse_spec
from rnndsl.compiler.ops import OPS

Axes = tuple[int, ...]
T = TypeVar("T")


def varying_axes(graph: Graph, value: int) -> Axes:
    """The axes of a value along which its elements may differ, as far as broadcasts tell."""
    node = graph.definition(value)
    rank = graph.type_of(value).rank
    if isinstance(node, Node):
        if node.op == "full":
            return ()
        if node.op == "broadcast":
            axes = ints_attr(dict(node.attrs), "axes")
            return tuple(axes[k] for k in varying_axes(graph, node.operands[0]))
        if OPS[node.op].elementwise:
            parts = [varying_axes(graph, v) for v in node.operands]
            return tuple(sorted({axis for part in parts for axis in part}))
    return tuple(range(rank))


def side_of(varying: Iterable[T], first: Iterable[T], second: Iterable[T]) -> int | None:
    """The part of an outer product that a factor goes with, 0 or 1, by the axes of each; None for
    a factor that is one number for each matrix."""
    axes, here, there = set(varying), set(first), set(second)
    if axes <= here & there:
        return None
    return 0 if axes <= here else 1


def is_zero(graph: Graph, value: int) -> bool:
    """Whether a value is the constant 0."""
    node = graph.definition(value)
    while isinstance(node, Node) and node.op in ("broadcast", "reshape"):
        node = graph.definition(node.operands[0])
    return isinstance(node, Node) and node.op == "full" and node.attr("value") == 0


@dataclass(frozen=True, slots=True)
class Outer:
    """A matrix as the product of two parts, each a value with the matrix's axes that it has.

    ``masks`` are values that multiply the product (or, of a `where`, choose it or 0), with the
    side they go with: 0 or 1.  Together the parts have every axis.
    """

    parts: tuple[int, int]
    axes: tuple[Axes, Axes]
    masks: tuple[tuple[str, int, int], ...] = ()


def outer_of(graph: Graph, value: int) -> Outer | None:
    """A value as a product of two parts; None if it is not one."""
    node = graph.definition(value)
    if not isinstance(node, Node):
        return None
    if node.op == "contract":
        left, right, output = parse_spec(node.attr("spec"))
        if set(left + right) != set(output):
            return None
        axes = tuple(output.index(x) for x in left), tuple(output.index(x) for x in right)
        first, second = node.operands
        return Outer((first, second), axes)
    if node.op == "neg":
        found = outer_of(graph, node.operands[0])
        return found and Outer(found.parts, found.axes, (*found.masks, ("neg", 0, value)))
    if node.op in ("mul", "div", "where"):
        place = 1 if node.op == "where" else 0
        if node.op == "where" and not is_zero(graph, node.operands[2]):
            return None
        pairs = [(place, 1 - place)] + ([(1, 0)] if node.op == "mul" else [])
        for at, by in pairs:
            found = outer_of(graph, node.operands[at])
            if found is None:
                continue
            varying = set(varying_axes(graph, node.operands[by]))
            for side in (0, 1):
                if varying <= set(found.axes[side]):
                    mask = (node.op, side, node.operands[by])
                    return Outer(found.parts, found.axes, (*found.masks, mask))
    return None
