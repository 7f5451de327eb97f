"""Python identifiers for the values of a graph: readable, unique, never a keyword."""

from __future__ import annotations

import keyword
import re

from rnndsl.compiler.ir import Graph

# Names that the generated code uses for itself.
_MODULES, _ARGUMENTS = ("torch", "F", "math", "scans"), ("inputs", "states", "params", "like")
_BUILTINS = ("range", "reversed", "zip")
RESERVED = frozenset({*_MODULES, *_ARGUMENTS, *_BUILTINS, "T", "B", "step"})


def value_names(graph: Graph) -> tuple[str, ...]:
    """One identifier for each value of ``graph``, by value index.

    A value that has a name in the user's file keeps it (``i.x.weight`` becomes
    ``i_x_weight``, ``h'`` becomes ``h_next``); the others are ``v<index>``.
    """
    taken = set(RESERVED)
    wanted = [leaf.name for leaf in graph.leaves] + [node.name for node in graph.nodes]
    return tuple(unique(name or f"v{index}", taken) for index, name in enumerate(wanted))


def unique(name: str, taken: set[str]) -> str:
    """An identifier made of ``name`` that is not in ``taken``; it is added there."""
    base = identifier(name)
    found, count = base, 1
    while found in taken:
        count += 1
        found = f"{base}_{count}"
    taken.add(found)
    return found


def identifier(name: str) -> str:
    """The nearest Python identifier to ``name``."""
    text = re.sub(r"\W", "_", name.replace("'", "_next"))
    if not text or text[0].isdigit():
        text = f"v_{text}"
    return f"{text}_" if keyword.iskeyword(text) else text
