"""Simplify-real: identities of real numbers, for comparing cells rather than running them."""

from __future__ import annotations

from rnndsl.compiler.ir import Graph
from rnndsl.compiler.passes.canonicalize import RULES
from rnndsl.compiler.rewrite import rewrite
from rnndsl.compiler.rules import REAL_LAWS


def simplify_real(graph: Graph) -> Graph:
    """Also rewrite where only finite values, or only the values and not the gradients, agree.

    A batched value may become a shared one: the result is for comparing cells alone.
    """
    return rewrite(graph, (*REAL_LAWS, *RULES), may_unbatch=True)
