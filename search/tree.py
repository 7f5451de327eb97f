"""Walking the syntax tree: every expression under a node, and a copy with some replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from rnndsl.source import Span

Tree = TypeVar("Tree")


def walk(tree: Any) -> Iterator[Any]:
    """Every node under ``tree`` and ``tree`` itself, parents first, in the order of the text."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, tuple):
            pending.extend(reversed(node))
        elif _is_node(node):
            yield node
            pending.extend(reversed([getattr(node, f.name) for f in fields(node)]))


def transform(tree: Tree, change: Callable[[Any], Any | None]) -> Tree:
    """A copy of ``tree`` in which ``change`` has replaced nodes, parents first.

    ``change(node)`` returns what stands in the node's place, or None to keep the node and
    go on with its parts.  What it returns is not visited again.  Parts without a change are
    shared with the original.
    """
    return _transform(tree, change)  # type: ignore[no-any-return]


def _transform(node: Any, change: Callable[[Any], Any | None]) -> Any:
    if isinstance(node, tuple):
        parts = tuple(_transform(part, change) for part in node)
        return parts if any(a is not b for a, b in zip(parts, node, strict=True)) else node
    if not _is_node(node):
        return node
    changed = change(node)
    if changed is not None:
        return changed
    changes: dict[str, Any] = {}
    for field in fields(node):
        old = getattr(node, field.name)
        new = _transform(old, change)
        if new is not old:
            changes[field.name] = new
    return replace(node, **changes) if changes else node


def _is_node(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, (type, Span))
