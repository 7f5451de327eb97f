"""A small pretty printer: a document says where lines may break, `lay_out` decides.

A document is a text, a sequence of documents, or one of the records below.  A group is printed
on one line when it fits, otherwise all its own breaks become line breaks (Wadler's printer).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Break:
    """A line break in a broken group, ``flat`` in one that fits."""

    flat: str = " "


@dataclass(frozen=True, slots=True)
class Nest:
    """One step deeper indentation for the breaks inside."""

    content: Doc


@dataclass(frozen=True, slots=True)
class Group:
    """Printed on one line when it fits."""

    content: Doc


@dataclass(frozen=True, slots=True)
class WhenBroken:
    """A text that stands only in a broken group: a bracket or a last comma."""

    text: str


Doc = str | tuple["Doc", ...] | Break | Nest | Group | WhenBroken

STEP = 4  # columns of one indentation


def lay_out(doc: Doc, indent: int, width: int) -> str:
    """The text of ``doc`` whose first line begins at column ``indent``.

    Works on a stack of its own, so that depth costs no recursion; time is proportional to the
    size of the document times the width.
    """
    out: list[str] = []
    column = indent
    stack: list[tuple[int, bool, Doc]] = [(indent, False, doc)]
    while stack:
        level, flat, item = stack.pop()
        match item:
            case str():
                out.append(item)
                column += len(item)
            case tuple():
                stack += ((level, flat, part) for part in reversed(item))
            case Nest(content):
                stack.append((level + STEP, flat, content))
            case Group(content):
                fits = flat or _fits(width - column, content, stack)
                stack.append((level, fits, content))
            case WhenBroken(text):
                stack.append((level, flat, "" if flat else text))
            case Break(text) if flat:
                out.append(text)
                column += len(text)
            case Break():
                out.append("\n" + " " * level)
                column = level
    return "".join(out)


def _fits(room: int, doc: Doc, after: list[tuple[int, bool, Doc]]) -> bool:
    """Whether ``doc`` on one line, with what follows up to the next break, has room."""
    todo: list[tuple[bool, Doc]] = [(True, doc)]
    behind = len(after)
    while room >= 0:
        if not todo:
            if not behind:
                return True
            behind -= 1
            _, flat, item = after[behind]
            todo.append((flat, item))
            continue
        flat, item = todo.pop()
        match item:
            case str():
                room -= len(item)
            case tuple():
                todo += ((flat, part) for part in reversed(item))
            case Nest(content) | Group(content):
                todo.append((flat, content))
            case WhenBroken(text):
                room -= 0 if flat else len(text)
            case Break(text) if flat:
                room -= len(text)
            case Break():
                return True
    return False
