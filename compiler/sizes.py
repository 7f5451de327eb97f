"""Sizes for the open dimensions of a graph, checked in the words of the user's file."""

from __future__ import annotations

from collections.abc import Mapping

from rnndsl.compiler.ir import Graph, Leaf, Node
from rnndsl.compiler.op_types import OpTypeError
from rnndsl.compiler.ops import result_type
from rnndsl.diagnostics import Binding, RnndslError, did_you_mean
from rnndsl.dims import Dim, DimError
from rnndsl.errors_check import SizeDoesNotFit
from rnndsl.source import Source


def bind_sizes(graph: Graph, sizes: Mapping[str, int], sources: tuple[Source, ...] = ()) -> Graph:
    """The graph with every dimension a positive whole number.

    RnndslError when a dimension has no size, when a value would have an axis of ``H/3`` at
    H = 8, and when it would be a slice up to 8 at H = 5; the message shows the place in the file
    if ``sources`` hold it.
    """
    dims = graph.dims
    missing = sorted(dims - sizes.keys())
    if missing:
        given = sorted(sizes.keys() - dims)
        close = did_you_mean(missing[0], given)
        message = f"dimension {missing[0]} of {graph.name} has no size"
        message += f", and it has no dimension {close}" if close else ""
        raise RnndslError(SizeDoesNotFit(None, message))
    wrong = [f"{n} = {sizes[n]!r}" for n in sorted(dims) if not _is_size(sizes[n])]
    if wrong:
        raise RnndslError(SizeDoesNotFit(None, f"{wrong[0]} is not a positive whole number"))
    bound = graph.bind(sizes)
    for before, after in zip(_values(graph), _values(bound), strict=True):
        for open_size, size in zip(before.type.shape, after.type.shape, strict=True):
            if not _fits(size):
                _refuse(before, open_size, size, sizes, sources)
    for node in bound.nodes:
        _check_rule(bound, node, sizes, sources)
    return bound


def _check_rule(
    graph: Graph, node: Node, sizes: Mapping[str, int], sources: tuple[Source, ...]
) -> None:
    """A slice up to 8 is right for every H until H is 5."""
    operands = tuple([graph.definition(v).type for v in node.operands])
    try:
        result_type(node.op, operands, node.attrs)
    except OpTypeError as error:
        bindings = tuple(Binding(name, str(size)) for name, size in sorted(sizes.items()))
        raise RnndslError(
            SizeDoesNotFit(node.span, str(error), bindings=bindings), sources
        ) from None


def _values(graph: Graph) -> tuple[Leaf | Node, ...]:
    return (*graph.leaves, *graph.nodes)


def _is_size(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size > 0


def _fits(size: Dim) -> bool:
    try:
        return int(size) >= 0
    except DimError:
        return False


def _refuse(
    value: Leaf | Node,
    open_size: Dim,
    size: Dim,
    sizes: Mapping[str, int],
    sources: tuple[Source, ...],
) -> None:
    name = f"`{value.name}`" if value.name else "a value here"
    why = "is not a whole number" if _is_fraction(size) else "is negative"
    bindings = tuple(Binding(n, str(sizes[n])) for n in sorted(open_size.names))
    message = f"{name} has an axis of length {open_size}, and {size} {why}"
    raise RnndslError(SizeDoesNotFit(value.span, message, bindings=bindings), sources)


def _is_fraction(size: Dim) -> bool:
    return size.terms[0][1].denominator != 1
