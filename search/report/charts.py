"""Charts as inline SVG; their colours are the page's, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 12, 44


@dataclass(frozen=True, slots=True)
class Series:
    """Points in order; ``kind`` is a class of the page's style sheet, ``line`` joins them."""

    points: Sequence[tuple[float, float]]
    kind: str = "faint"
    line: bool = True
    steps: bool = False  # keep the height until the next point
    marks: bool = False
    title: str = ""  # shown on hovering
    titles: Sequence[str] = ()  # of each mark


@dataclass(frozen=True, slots=True)
class Axis:
    """What is along an axis."""

    label: str
    log: bool = False
    whole: bool = False  # only whole numbers make sense


def chart(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    levels: Sequence[tuple[float, str]] = (),
    robust: bool = False,
) -> str:
    """A chart of lines and points; ``levels`` are named heights.

    With ``robust``, what is far above the rest is left out at the top.
    """
    xs = [px for s in series for px, _ in s.points]
    ys = [py for s in series for _, py in s.points if math.isfinite(py)]
    heights = [*ys, *(height for height, _ in levels)]
    if not xs or not heights:
        return '<p class="quiet">nothing to draw yet</p>'
    top = max([_robust_top(heights), *(h for h, _ in levels)]) if robust else max(heights)
    across = _Scale(min(xs), max(xs), _LEFT, WIDTH - _RIGHT, x)
    up = _Scale(min(heights), top, HEIGHT - _BOTTOM, _TOP, y)
    parts = [*_grid(across, up, x, y)]
    for height, label in levels:
        place = up(height)
        parts.append(
            f'<line class="level" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{place}" y2="{place}"/>'
        )
        parts.append(
            f'<text class="level" x="{WIDTH - _RIGHT - 4}" y="{place - 5}">{escape(label)}</text>'
        )
    for one in series:
        parts.extend(_series(one, across, up, top))
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(y.label)} by {escape(x.label)}">{"".join(parts)}</svg>'
    )


def bars(rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: label, share of the longest, text at the end."""
    longest = max((value for _, value, _ in rows), default=0.0) or 1.0
    lines = [
        f'<div class="bar"><span class="bar-label">{escape(label)}</span>'
        '<span class="bar-track"><span class="bar-fill" '
        f'style="width:{100 * value / longest:.1f}%">'
        f'</span></span><span class="bar-text">{escape(text)}</span></div>'
        for label, value, text in rows
    ]
    return f'<div class="bars">{"".join(lines)}</div>'


class Ruler:
    """A line on which scores of many cells are marked alike, one drawing for each row."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        margin = 0.08 * (high - low) or abs(high) * 0.05 or 1.0
        self._low, self._span = low - margin, high - low + 2 * margin

    def row(
        self, score: float | None, repeated: tuple[float, float | None] | None, base: float | None
    ) -> str:
        """A row's drawing: the score as a ring, mean and standard error over seeds filled."""
        parts = ['<line class="rule" x1="0" x2="160" y1="10" y2="10"/>']
        if base is not None:
            place = self._place(base)
            parts.append(f'<line class="level" x1="{place}" x2="{place}" y1="1" y2="19"/>')
        if score is not None:
            parts.append(f'<circle class="ring" cx="{self._place(score)}" cy="10" r="3.6"/>')
        if repeated is not None:
            mean, error = repeated
            left, right = self._place(mean - (error or 0)), self._place(mean + (error or 0))
            parts.append(f'<line class="error" x1="{left}" x2="{right}" y1="10" y2="10"/>')
            parts.append(f'<circle class="dot" cx="{self._place(mean)}" cy="10" r="3"/>')
        return f'<svg class="ruler" viewBox="0 0 160 20">{"".join(parts)}</svg>'

    def _place(self, value: float) -> float:
        return round(min(157.0, max(3.0, 160 * (value - self._low) / self._span)), 1)


class _Scale:
    """From values to places on the drawing."""

    def __init__(self, low: float, high: float, start: float, end: float, axis: Axis) -> None:
        self._see: Callable[[float], float] = math.log if axis.log and low > 0 else float
        if low == high:
            low, high = (low / 1.1, high * 1.1) if axis.log and low > 0 else (low - 0.5, high + 0.5)
        self.low, self.high, self._start, self._end = low, high, start, end
        if not axis.log:
            margin = 0.04 * (high - low)
            self.low, self.high = (low, high) if axis.whole else (low - margin, high + margin)

    def __call__(self, value: float) -> float:
        low, high = self._see(self.low), self._see(self.high)
        share = (self._see(value) - low) / (high - low)
        return round(self._start + share * (self._end - self._start), 1)


def _grid(across: _Scale, up: _Scale, x: Axis, y: Axis) -> list[str]:
    parts = []
    for value in ticks(up.low, up.high, y):
        place = up(value)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{place}" y2="{place}"/>'
        )
        parts.append(
            f'<text class="tick y" x="{_LEFT - 8}" y="{place + 4}">{_number(value)}</text>'
        )
    for value in ticks(across.low, across.high, x):
        place = across(value)
        parts.append(
            f'<text class="tick" x="{place}" y="{HEIGHT - _BOTTOM + 18}">{_number(value)}</text>'
        )
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="label" x="{(_LEFT + WIDTH) / 2}" y="{HEIGHT - 6}">{escape(x.label)}</text>'
    )
    parts.append(
        f'<text class="label" transform="translate(14 {middle}) rotate(-90)">'
        f"{escape(y.label)}</text>"
    )
    return parts


def _series(one: Series, across: _Scale, up: _Scale, top: float) -> list[str]:
    places = [(across(px), up(py)) for px, py in one.points if py <= top]
    if not places:
        return []
    parts = []
    title = f"<title>{escape(one.title)}</title>" if one.title else ""
    if one.line and len(places) > 1:
        path = f"M{places[0][0]} {places[0][1]}"
        for px, py in places[1:]:
            path += f"H{px}V{py}" if one.steps else f"L{px} {py}"
        parts.append(f'<path class="{one.kind}" d="{path}">{title}</path>')
    if one.marks or len(places) == 1:
        shown = [t for t, (_, py) in zip(one.titles, one.points, strict=False) if py <= top]
        for index, (px, py) in enumerate(places):
            text = f"<title>{escape(shown[index])}</title>" if index < len(shown) else title
            parts.append(f'<circle class="{one.kind}" cx="{px}" cy="{py}" r="3.4">{text}</circle>')
    return parts


def ticks(low: float, high: float, axis: Axis) -> list[float]:
    """Some five round numbers from ``low`` to ``high``; powers of ten or two on a log axis."""
    if axis.log and low > 0:
        base = 10.0 if high / low > 100 else 2.0
        first, last = math.ceil(math.log(low, base) - 1e-9), math.floor(math.log(high, base) + 1e-9)
        if base == 2.0:
            found = [low * 2.0**k for k in range(int(math.log2(high / low) + 1e-9) + 1)]
            return found if len(found) > 1 else [low, high]
        return [base**k for k in range(first, last + 1)]
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 6)
    if axis.whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _robust_top(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle, upper = ordered[len(ordered) // 2], ordered[int(0.9 * (len(ordered) - 1))]
    return min(ordered[-1], upper + 1.5 * (upper - middle) + 0.05 * abs(upper - ordered[0]))
