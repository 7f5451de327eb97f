"""PyTorch expressions for `contract`: matrix products where they fit, einsum elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from rnndsl.backends.torch.expressions import Operand
from rnndsl.compiler.ir import Node
from rnndsl.compiler.op_types import parse_spec

# Hoists an expression over parameters out of every loop; gives the name that holds it.
Hoist = Callable[[str, str], str]


def contraction(node: Node, operands: tuple[Operand, ...], hoist: Hoist) -> str:
    """The expression for a `contract` node."""
    left, right, output = parse_spec(node.attr("spec"))
    a, b = operands
    if node.attr("sum_batch"):
        if len(left) == len(right) == 1 and output in (left + right, right + left):
            first, second = (a, b) if output[0] == left else (b, a)
            return f"{rows(first)}.t() @ {rows(second)}"
        return _einsum(node, operands)
    vector = weight_and_vector(node, operands)
    if vector is not None:
        weight, of, transposed = vector
        return f"{of.text} @ {matrix_by_row(weight, transposed, hoist)}"
    return _einsum(node, operands)


def _einsum(node: Node, operands: tuple[Operand, ...]) -> str:
    left, right, output = parse_spec(node.attr("spec"))
    a, b = operands
    first, second = ("..." if o.lead else "" for o in (a, b))
    lead = "" if node.attr("sum_batch") else first or second
    return f'torch.einsum("{first}{left},{second}{right}->{lead}{output}", {a.text}, {b.text})'


def weight_and_vector(
    node: Node, operands: tuple[Operand, ...]
) -> tuple[Operand, Operand, bool] | None:
    """The shared matrix and the vector of a product W·v, or None if the node is none.

    The third value is true for the transposed product: the matrix has the vector's axis first.
    """
    if node.op != "contract" or node.attr("sum_batch"):
        return None
    left, right, output = parse_spec(node.attr("spec"))
    a, b = operands
    if len(left) < len(right):
        left, right, a, b = right, left, b, a
    if len(left) != 2 or len(right) != 1 or a.lead or not b.lead:
        return None
    if left[1] == right and output == left[0]:
        return a, b, False
    if left[0] == right and output == left[1]:
        return a, b, True
    return None


def matrix_by_row(weight: Operand, transposed: bool, hoist: Hoist) -> str:
    """The matrix M of ``v @ M``, for row vectors v."""
    return weight.text if transposed else hoist(weight.text, ".t()")


def rows(operand: Operand) -> str:
    """A stream of vectors as one matrix with a row for each time step and example."""
    if operand.lead.count(",") == 1:
        return operand.text
    return f"{operand.text}.reshape(-1, {operand.type.sizes[0]})"
