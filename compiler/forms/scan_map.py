"""The map of a scan in normal form: what its state is multiplied by, and what is added.

In normal form a scan of one state is one product and one sum, of values from outside:
``s' = a * s + b``, ``s' = max(a + s, b)``, or ``s' = A s + b`` with a shared matrix A.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.op_types import parse_spec
from rnndsl.compiler.plan import Stage


class MapKind(Enum):
    """The product and the sum of a map."""

    DIAGONAL = "s' = a * s + b"
    MAXIMUM = "s' = max(a + s, b)"
    DENSE = "s' = A s + b"


@dataclass(frozen=True, slots=True)
class ScanMap:
    """A scan in normal form; all numbers are values of the graph.

    ``factor`` is None where the state is taken as it is.  ``axis`` is the axis of the state
    that a dense factor [out, in] works on; ``transposed`` says that it lies there as [in, out].
    """

    kind: MapKind
    state: str
    leaf: int
    factor: int | None
    addend: int
    result: int
    axis: int = 0
    transposed: bool = False

    def time_invariant(self, graph: Graph) -> bool:
        return self.factor is None or not graph.type_of(self.factor).batched


_SUMS = {"add": (MapKind.DIAGONAL, "mul"), "max": (MapKind.MAXIMUM, "add")}


def scan_map(graph: Graph, stage: Stage) -> ScanMap | None:
    """The map of a scan, if it is in normal form."""
    if len(stage.states) != 1 or not 1 <= len(stage.values) <= 2:
        return None
    (state,) = stage.states
    leaf = graph.leaf_index(state, LeafRole.STATE)
    (result,) = [r.value for r in graph.results_of(ResultRole.STATE) if r.name == state]
    last = graph.definition(result)
    if not isinstance(last, Node) or last.op not in _SUMS or result != stage.values[-1]:
        return None
    kind, product_op = _SUMS[last.op]
    inside = {*stage.values, leaf}
    recurring = [v for v in last.operands if v in inside]
    if len(recurring) != 1 or len(last.operands) != 2:
        return None
    (addend,) = [v for v in last.operands if v not in inside]
    if recurring == [leaf]:
        return ScanMap(kind, state, leaf, None, addend, result) if len(inside) == 2 else None
    product = graph.definition(recurring[0])
    is_pair = isinstance(product, Node) and len(product.operands) == 2
    if not isinstance(product, Node) or not is_pair or product.operands.count(leaf) != 1:
        return None
    (factor,) = [v for v in product.operands if v != leaf]
    if product.op == product_op:
        return ScanMap(kind, state, leaf, factor, addend, result)
    if product.op == "contract" and kind is MapKind.DIAGONAL:
        return _dense(graph, product, ScanMap(MapKind.DENSE, state, leaf, factor, addend, result))
    return None


def _dense(graph: Graph, product: Node, found: ScanMap) -> ScanMap | None:
    """A shared matrix along one axis of the state."""
    assert found.factor is not None
    left, right, output = parse_spec(product.attr("spec"))
    matrix, vector = (right, left) if product.operands[0] == found.leaf else (left, right)
    if graph.type_of(found.factor).batched or len(matrix) != 2:
        return None
    first, second = matrix[0], matrix[1]
    for new, old in ((first, second), (second, first)):
        if old in vector and new not in vector and vector.replace(old, new) == output:
            axis = vector.index(old)
            return ScanMap(
                MapKind.DENSE,
                found.state,
                found.leaf,
                found.factor,
                found.addend,
                found.result,
                axis,
                transposed=first == old,
            )
    return None
