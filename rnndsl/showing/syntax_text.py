"""The syntax tree as an indented outline, for those who work on the language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from rnndsl.syntax import CellDefinition


def syntax_text(definition: CellDefinition) -> str:
    """One line per node: its class, then its plain fields; parts stand below it, indented."""
    return "\n".join(_lines("", definition, 0)) + "\n"


def _lines(label: str, node: object, depth: int) -> Iterator[str]:
    """The node's line and those of its parts."""
    plain, parts = [], []
    for field in fields(node) if is_dataclass(node) else ():
        value = getattr(node, field.name)
        if field.name == "span" or value is None or value == ():
            continue
        items = value if isinstance(value, tuple) else (value,)
        if any(is_dataclass(item) for item in items):
            parts.append((field.name, items))
        else:
            plain.append(f"{field.name}={value!r}")
    head = f"{label}: " if label else ""
    yield "  " * depth + head + " ".join([type(node).__name__, *plain])
    for name, items in parts:
        for item in items:
            yield from _lines(name, item, depth + 1)
