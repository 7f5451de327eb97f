"""Where the comments of a file belong when its statements are printed anew."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence


class Comments:
    """The comments of one source text, handed out in order; none is lost.

    ``entries`` are (offset, text, own line) triples as in ``syntax.File.comments``.
    """

    def __init__(self, text: str, entries: Sequence[tuple[int, str, bool]]) -> None:
        self._text = text
        self._entries = entries
        self._next = 0

    def take(self, until: int, column: int = 0) -> Iterator[tuple[str, bool]]:
        """Comments before the offset ``until``, each with whether a blank line precedes it.

        Stops at a comment that has its own line and begins left of ``column``: it belongs to an
        outer block.
        """
        while self._next < len(self._entries):
            offset, text, own_line = self._entries[self._next]
            if offset >= until or (own_line and self.column(offset) < column):
                return
            self._next += 1
            yield _normal(text), own_line and self.after_blank(offset)

    def trailing(self, end: int) -> str:
        """The comment on the same line after the offset ``end``, or ""."""
        if self._next == len(self._entries):
            return ""
        offset, text, own_line = self._entries[self._next]
        if own_line or offset < end or "\n" in self._text[end:offset]:
            return ""
        self._next += 1
        return _normal(text)

    def of_header(self, until: int) -> tuple[list[str], str]:
        """Comments within a header whose block begins at ``until``: inner ones, and the last."""
        last = self._next
        for at in range(self._next, len(self._entries)):
            offset, _, own_line = self._entries[at]
            if offset >= until:
                break
            if not own_line:
                last = at + 1
        taken = [_normal(text) for _, text, _ in self._entries[self._next : last]]
        self._next = last
        return taken[:-1], taken[-1] if taken else ""

    def after_blank(self, offset: int) -> bool:
        """Whether the line before the one at ``offset`` is empty."""
        start = self._text.rfind("\n", 0, offset)
        if start < 0:
            return False
        return not self._text[self._text.rfind("\n", 0, start) + 1 : start].strip()

    def column(self, offset: int) -> int:
        """The column of an offset, from 0, with tabs four wide."""
        start = self._text.rfind("\n", 0, offset) + 1
        return len(self._text[start:offset].expandtabs(4))

    def line_of(self, word: str, start: int, end: int) -> int:
        """The offset of the line that begins with ``word`` between two offsets, else ``end``."""
        pattern = re.compile(rf"^[ \t]*{word}\b", re.MULTILINE)
        found = pattern.search(self._text, max(start, 0), max(end, 0))
        return found.start() if found else end


def _normal(text: str) -> str:
    """One space after ``#``, none at the end; ``#!`` and rows of ``#`` stay."""
    body = text[1:].rstrip()
    return "#" + (body if not body or body[0] in " \t!#" else " " + body)
