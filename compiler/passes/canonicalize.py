"""Canonicalize: one spelling for each value, by identities that lose nothing."""

from __future__ import annotations

from rnndsl.compiler.ir import Graph
from rnndsl.compiler.rewrite import rewrite
from rnndsl.compiler.rules import EXACT_LAWS
from rnndsl.compiler.rules_contract import CONTRACT_RULES
from rnndsl.compiler.rules_shape import SHAPE_RULES

RULES = (*EXACT_LAWS, *SHAPE_RULES, *CONTRACT_RULES)


def canonicalize(graph: Graph) -> Graph:
    """Apply the rules that keep values and gradients (but for the sign of a zero)."""
    return rewrite(graph, RULES)
