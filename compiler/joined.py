"""Parameters of a step that are nothing but parameters side by side.

pack-gates makes them of the weights that one vector is multiplied by.  A backend that rearranges
weights anyway can read the parts, and need not have them joined first.
"""

from __future__ import annotations

from rnndsl.compiler.ir import Graph, Leaf, Node
from rnndsl.compiler.op_types import int_attr
from rnndsl.compiler.plan import Joined


def joined_params(prepare: Graph) -> tuple[Joined, ...]:
    """The results of a bound prepare graph that are concatenations of parameters."""
    found = []
    for result in prepare.results:
        node = prepare.definition(result.value)
        if isinstance(node, Node) and node.op == "concat":
            parts = [prepare.definition(value) for value in node.operands]
            if all(isinstance(part, Leaf) for part in parts):
                axis = int_attr(dict(node.attrs), "axis")
                sizes = tuple(part.type.sizes[axis] for part in parts)
                found.append(Joined(result.name, axis, tuple(p.name for p in parts), sizes))
    return tuple(found)
