"""Diagnostics as text: excerpts of the source with carets, notes and helps."""

from __future__ import annotations

import os
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from rnndsl.diagnostics import Diagnostic, Related
from rnndsl.source import Source, Span

WIDTH = 100  # labels are wrapped here
_LONGEST_LINE = 110  # longer source lines are cut to a window around the mark
_TAB = "    "

_STYLES = {
    "error": "1;31",
    "warning": "1;33",
    "title": "1",
    "gutter": "34",
    "mark": "31",
    "second": "34",
    "help": "36",
}


def use_color(stream: TextIO) -> bool:
    """Whether to colour what goes to ``stream``: a terminal, and the user did not object."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def render_all(
    diagnostics: Iterable[Diagnostic],
    sources: Iterable[Source] = (),
    *,
    color: bool = False,
    limit: int = 10,
) -> str:
    """All diagnostics, at most ``limit`` per file, with blank lines between."""
    texts = {source.name: source for source in sources}
    shown: list[str] = []
    counts: dict[str, int] = {}
    for diagnostic in diagnostics:
        name = diagnostic.span.file if diagnostic.span else ""
        counts[name] = counts.get(name, 0) + 1
        if counts[name] <= limit:
            shown.append(render(diagnostic, texts, color=color))
    for name, count in counts.items():
        if count > limit:
            place = f" in {name}" if name else ""
            more = count - limit
            shown.append(f"... and {more} more error{'s' if more > 1 else ''}{place}")
    return "\n\n".join(shown)


def render(diagnostic: Diagnostic, sources: dict[str, Source], *, color: bool = False) -> str:
    """One diagnostic; a span whose source is not in ``sources`` is shown without its lines."""
    paint = _Paint(color)
    span = diagnostic.span
    source = sources.get(span.file) if span else None
    head = (
        paint(diagnostic.level, f"{diagnostic.level}[{diagnostic.code}]")
        + ": "
        + paint("title", _title(diagnostic))
    )
    if span is not None:
        head += f"  ({_place(span, source)})"
    lines = [head]
    label = diagnostic.label_text()
    if span is not None and source is not None:
        marks = [_Mark(span, label, "^")]
        marks += [
            _Mark(r.span, r.text, "-") for r in diagnostic.related if r.span.file == span.file
        ]
        lines += _excerpt(marks, source, paint)
    elif label:
        lines.append(f"  {printable(label)}")
    lines += _elsewhere(diagnostic.related, span, sources, paint)
    lines += [_paragraph(paint("title", "note"), "note", text) for text in diagnostic.notes()]
    lines += [_paragraph(paint("help", "help"), "help", text) for text in diagnostic.helps()]
    return "\n".join(lines)


def printable(text: str) -> str:
    """``text`` with characters that would disturb a terminal replaced by visible ones."""
    return "".join(_visible(char) for char in text)


def _title(diagnostic: Diagnostic) -> str:
    return printable(diagnostic.title_text())


def _place(span: Span, source: Source | None) -> str:
    name = printable(span.file)
    if source is None:
        return name
    line, column = source.location(span.start)
    return f"{name}:{line}:{column}"


def _paragraph(painted: str, word: str, text: str) -> str:
    hanging = " " * (len(word) + 2)
    wrapped = textwrap.wrap(
        printable(text), WIDTH - len(hanging), break_long_words=False, break_on_hyphens=False
    )
    # Two spaces separate the entries of a list; wrapping keeps them.
    return f"{painted}: " + f"\n{hanging}".join(wrapped)


def _elsewhere(
    related: Sequence[Related],
    primary: Span | None,
    sources: dict[str, Source],
    paint: _Paint,
) -> list[str]:
    """Second places that lie in other files, each with its own excerpt."""
    lines: list[str] = []
    for item in related:
        source = sources.get(item.span.file)
        if primary is not None and item.span.file == primary.file and primary.file in sources:
            continue
        if source is None:
            lines.append(f"  {_place(item.span, None)}: {printable(item.text)}")
            continue
        lines.append(f"  in {_place(item.span, source)}")
        lines += _excerpt([_Mark(item.span, item.text, "-")], source, paint)
    return lines


# -------------------------------------------------------------------------------- excerpts


@dataclass(frozen=True, slots=True)
class _Mark:
    span: Span
    text: str
    sign: str  # "^" for the place of the mistake, "-" for a second place


@dataclass(frozen=True, slots=True)
class _Paint:
    on: bool

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.on and text else text


@dataclass(frozen=True, slots=True)
class _Row:
    """A stretch of one line to underline: columns from 0, and the label after it."""

    line: int
    start: int
    end: int
    text: str
    sign: str


def _rows(mark: _Mark, source: Source, lines: Sequence[str]) -> list[_Row]:
    """A span over several lines marks its first and its last line."""
    size = len(source.text)
    start, end = min(mark.span.start, size), min(max(mark.span.end, mark.span.start), size)
    while end > start and source.text[end - 1] in "\r\n":
        end -= 1
    first, left = source.location(start)
    last, right = source.location(end)
    if first == last:
        return [_Row(first, left - 1, right - 1, mark.text, mark.sign)]
    top, bottom = lines[first - 1].rstrip("\r"), lines[last - 1]
    indent = min(len(bottom) - len(bottom.lstrip()), right - 1)
    return [
        _Row(first, left - 1, max(len(top.rstrip()), left), "", mark.sign),
        _Row(last, indent, right - 1, mark.text, mark.sign),
    ]


def _excerpt(marks: Sequence[_Mark], source: Source, paint: _Paint) -> list[str]:
    lines = source.text.split("\n")
    rows = [row for mark in marks for row in _rows(mark, source, lines)]
    numbers = sorted({row.line for row in rows})
    margin = max(2, len(str(numbers[-1])))
    bar = paint("gutter", f"{' ' * margin} |")
    out = [bar]
    previous: int | None = None
    for number in numbers:
        if previous is not None and number == previous + 2:
            # A gap of one line is shown rather than elided.
            out.append(_source_line(previous + 1, lines, [], margin, paint)[0])
        elif previous is not None and number > previous + 2:
            out.append(paint("gutter", f"{' ' * margin}..."))
        here = [row for row in rows if row.line == number]
        shown, *underlined = _source_line(number, lines, here, margin, paint)
        out += [shown, *(f"{bar}{line}".rstrip() for line in underlined)]
        previous = number
    out.append(bar)
    return out


def _source_line(
    number: int, lines: Sequence[str], rows: Sequence[_Row], margin: int, paint: _Paint
) -> list[str]:
    text = lines[number - 1].rstrip("\r")
    window = _window(text, rows)
    before, after = "…" * (window.start > 0), "…" * (window.stop < len(text))
    cells = [_visible(char) for char in text[window.start : window.stop]]
    shown = (before + "".join(cells) + after).rstrip()
    gutter = paint("gutter", f"{number:>{margin}} |")
    out = [f"{gutter} {shown}".rstrip()]
    for row in rows:
        start = len(before) + _width(cells[: max(0, row.start - window.start)])
        stop = len(before) + _width(cells[: max(0, row.end - window.start)])
        underline = row.sign * max(1, stop - start)
        out += _underline(start, underline, printable(row.text), paint)
    return out


def _window(text: str, rows: Sequence[_Row]) -> range:
    """The part of a long line to show: around the first mark."""
    if len(text) <= _LONGEST_LINE:
        return range(len(text))
    middle = rows[0].start if rows else 0
    start = max(0, middle - _LONGEST_LINE // 2)
    return range(start, min(len(text), start + _LONGEST_LINE))


def _underline(start: int, underline: str, label: str, paint: _Paint) -> list[str]:
    style = "mark" if underline[0] == "^" else "second"
    column = start + len(underline) + 1
    if column + len(label) <= WIDTH:
        return [" " + " " * start + paint(style, f"{underline} {label}".rstrip())]
    # No room beside the mark: the label goes below it, as far left as it must.
    left = max(0, min(start, WIDTH - max(40, min(len(label), 60))))
    wrapped = textwrap.wrap(label, WIDTH - left, break_long_words=False)
    below = [" " + " " * left + paint(style, line) for line in wrapped]
    return [" " + " " * start + paint(style, underline), *below]


def _visible(char: str) -> str:
    if char == "\t":
        return _TAB
    if char < " ":
        return chr(0x2400 + ord(char))  # the control pictures
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return "\ufffd"
    return char


def _width(cells: Iterable[str]) -> int:
    """Columns that a terminal gives to the text."""
    return sum(_char_width(char) for cell in cells for char in cell)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
