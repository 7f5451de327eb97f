"""Associate-sums: terms that do not recur are added first, so that they leave the loop.

``(W x + U h) + b`` becomes ``(W x + b) + U h``, and ``(W x + b1) + b2`` becomes
``W x + (b1 + b2)``, whose shared part moves to the prepare graph.  The terms stay the same:
results differ by the rounding of sums in another order.
"""

from __future__ import annotations

from rnndsl.compiler.association import associate
from rnndsl.compiler.ir import Graph


def associate_sums(graph: Graph) -> Graph:
    """Add shared terms first, then those that run for all time steps, then those that recur."""
    return associate(graph, "add")
