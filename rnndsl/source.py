"""Source text, locations in it and spans of it; nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters ``[start, end)`` in one source text.

    Spans travel from the parser to every graph value, so that an error at any stage can
    point into the user's file.  ``file`` names the source; offsets count characters.
    """

    file: str
    start: int
    end: int

    def join(self, other: Span) -> Span:
        """The smallest span that covers both; both must be of one file."""
        return Span(self.file, min(self.start, other.start), max(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Source:
    """A named text: ``name`` is shown in messages, ``text`` is what was parsed."""

    name: str
    text: str

    def location(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset, both counted from 1."""
        before = self.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def line(self, number: int) -> str:
        """The text of line ``number`` (from 1), without its line break."""
        lines = self.text.split("\n")
        return lines[number - 1].rstrip("\r") if number <= len(lines) else ""
