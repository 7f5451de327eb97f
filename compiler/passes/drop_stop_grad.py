"""Drop-stop-grad: after differentiation a gradient stop is the identity."""

from __future__ import annotations

from rnndsl.compiler.ir import Graph
from rnndsl.compiler.rewrite import rewrite
from rnndsl.compiler.rules import STOP_GRAD_LAWS


def drop_stop_grad(graph: Graph) -> Graph:
    """Remove every ``stop_grad``; not before the last differentiation."""
    return rewrite(graph, STOP_GRAD_LAWS)
