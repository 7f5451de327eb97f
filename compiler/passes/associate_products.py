"""Associate-products: factors that do not recur are multiplied first, outside of the loop.

``(d * x) * y`` becomes ``d * (x * y)`` if only ``d`` recurs.  A backward step is linear in
what recurs in it, so this leaves one product by a precomputed factor.  Results differ by the
rounding of products in another order; ``x * y`` must not overflow, which is why it is for
backward graphs, where the factors are derivatives.
"""

from __future__ import annotations

from rnndsl.compiler.association import associate
from rnndsl.compiler.ir import Graph


def associate_products(graph: Graph) -> Graph:
    """Multiply what does not recur first, where that takes products out of a recurrence."""
    return associate(graph, "mul", only_recurring=True)
