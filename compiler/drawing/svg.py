"""SVG text of a laid-out diagram."""

from __future__ import annotations

from html import escape
from math import copysign

from rnndsl.compiler.drawing.diagram import SINKS, SOURCES, Block, Diagram, Shape
from rnndsl.compiler.drawing.layout import SQUARE, TRACK, Box, Layout, Point
from rnndsl.compiler.drawing.loops import loops
from rnndsl.compiler.drawing.style import ROOT, style_sheet
from rnndsl.compiler.drawing.text import SUB, Label, plain, width, word

_MARGIN = 14
_CORNER = 6.0
_HEAD = 6.0  # length of an arrowhead
_ARROW_OVER = 10  # how far the arrow of a returned value reaches over the loops
_BAND_TEXT = {"parallel": ("for all", "time steps", "at once"), "scan": ("step", "by step")}
_BAND_SIDE = 64


def svg(diagram: Diagram, layout: Layout, theme: str) -> str:
    """The drawing as one SVG document; ``theme`` is auto, light or dark."""
    ways = loops(diagram, layout)
    returned = any(block.returned for block in diagram.blocks)
    # The arrow of the returned value ends over the loops, which pass beside it.
    arrow = ways.above + _ARROW_OVER
    above = arrow + 12.0 if returned else ways.above
    legend = _legend(diagram)
    band = _BAND_SIDE if diagram.stages else 0
    left = ways.left + _MARGIN + band
    top = above + _MARGIN
    body_width = left + layout.width + ways.right + _MARGIN
    legend_width = sum(w for w, _ in legend)
    full_width = max(body_width, legend_width + 2 * _MARGIN)
    legend_y = top + layout.height + ways.below + 26
    height = legend_y + 18
    centre = left + (full_width - body_width) / 2
    parts = [
        _bands(diagram, layout, -ways.left - band - 6, layout.width + ways.right + 6),
        *(_loop(way.points) for way in ways.loops),
        *_wires(layout),
        *(_block(b, box, arrow) for b, box in zip(diagram.blocks, layout.boxes, strict=True)),
        *_wire_labels(diagram, layout),
    ]
    body = "\n".join(part for part in parts if part)
    key = _placed_legend(legend, (full_width - legend_width) / 2, legend_y)
    title = escape(diagram.title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(full_width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(full_width)} {_n(height)}" class="{ROOT}" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n<desc>{escape(description(diagram))}</desc>\n"
        f"<style>\n{style_sheet(theme)}</style>\n"
        f'<rect class="page" width="{_n(full_width)}" height="{_n(height)}" rx="6"/>\n'
        f'<g transform="translate({_n(centre)} {_n(top)})">\n{body}\n</g>\n{key}\n</svg>\n'
    )


def description(diagram: Diagram) -> str:
    """One sentence for readers who do not see the picture."""

    def names(shape: Shape) -> str:
        return ", ".join(plain(b.label) for b in diagram.blocks if b.shape is shape) or "none"

    count = sum(b.shape not in (*SOURCES, *SINKS) for b in diagram.blocks)
    return (
        f"One time step of {diagram.title}: inputs {names(Shape.INPUT)}; states "
        f"{names(Shape.STATE)}; {count} operations; next states {names(Shape.NEXT)}."
    )


# --------------------------------------------------------------------------------- blocks


def _block(block: Block, box: Box, arrow: float) -> str:
    radius = 5.0 if block.shape in SQUARE else box.height / 2
    shape = _rectangle(box, radius, f"block {block.shape.value}")
    if block.note:
        texts = _text(block.label, box.x, box.y - 3.5) + _text(
            block.note, box.x, box.y + 15, "quiet"
        )
        middle = f"M{_n(box.left)} {_n(box.y + 4)}H{_n(box.right)}"
        shape += f'<path class="block {block.shape.value}" d="{middle}" opacity="0.5"/>'
    else:
        texts = _text(block.label, box.x, box.y + 5)
    if block.returned:
        tip = box.top - arrow
        texts += f'<path class="wire" d="M{_n(box.x)} {_n(box.top)}V{_n(tip + _HEAD)}"/>'
        texts += _head((box.x, tip), "head") + _text(word("output"), box.x, tip - 4, "quiet")
    hint = f"<title>{escape(_hint(block))}</title>"
    return f"<g>{hint}{shape}{texts}</g>"


def _hint(block: Block) -> str:
    text = plain(block.label) + (f" of {plain(block.note)}" if block.note else "")
    return f"{block.shape.value} {block.name or text}"


def _rectangle(box: Box, radius: float, classes: str) -> str:
    return (
        f'<rect class="{classes}" x="{_n(box.left)}" y="{_n(box.top)}" '
        f'width="{_n(box.width)}" height="{_n(box.height)}" rx="{_n(radius)}"/>'
    )


def _text(label: Label, x: float, y: float, classes: str = "", anchor: str = "") -> str:
    spans, lowered = [], 0
    for run in label:
        shift = 4 if run.style == SUB else 0
        move = f' dy="{shift - lowered}"' if shift != lowered else ""
        lowered = shift
        spans.append(f'<tspan class="{run.style}"{move}>{escape(run.text, quote=False)}</tspan>')
    quiet = f' class="{classes}"' if classes else ""
    where = f' style="text-anchor: {anchor}"' if anchor else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}"{quiet}{where} xml:space="preserve">{"".join(spans)}</text>'
    )


# ---------------------------------------------------------------------------------- lines


def _wires(layout: Layout) -> list[str]:
    by_wire: dict[int, list[tuple[Point, ...]]] = {}
    for line in layout.lines:
        by_wire.setdefault(line.wire, []).append(line.points)
    drawn = []
    for ways in by_wire.values():
        path = " ".join(rounded(_shortened(points)) for points in ways)
        heads = "".join(_head(points[-1], "head") for points in ways)
        drawn.append(f'<path class="wire" d="{path}"/>{heads}')
    return drawn


def _wire_labels(diagram: Diagram, layout: Layout) -> list[str]:
    labels = []
    for wire in diagram.wires:
        if wire.label:
            box = layout.boxes[wire.source]
            labels.append(_text(wire.label, box.x + 5, box.top - 5, anchor="start"))
    return labels


def _loop(points: tuple[Point, ...]) -> str:
    path = rounded(_shortened(points), corner=10.0)
    return f'<path class="loop" d="{path}"/>{_head(points[-1], "loop-head")}'


def _shortened(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """The way without the length of its arrowhead; every way ends upwards."""
    x, y = points[-1]
    return (*points[:-1], (x, y + _HEAD - 1))


def _head(tip: Point, kind: str) -> str:
    x, y = tip
    return f'<path class="{kind}" d="M{_n(x)} {_n(y)}l-3.2 {_n(_HEAD)}h6.4z"/>'


def rounded(points: tuple[Point, ...], corner: float = _CORNER) -> str:
    """Path data of an orthogonal way with round corners."""
    data = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for k, at in enumerate(points[1:-1], start=1):
        before, after = points[k - 1], points[k + 1]
        first, second = _length(before, at), _length(at, after)
        radius = min(corner, first / 2, second / 2)
        if radius < 0.5:
            data.append(f"L{_n(at[0])} {_n(at[1])}")
            continue
        enter, leave = _towards(at, before, radius), _towards(at, after, radius)
        data.append(f"L{_n(enter[0])} {_n(enter[1])}")
        data.append(f"Q{_n(at[0])} {_n(at[1])} {_n(leave[0])} {_n(leave[1])}")
    data.append(f"L{_n(points[-1][0])} {_n(points[-1][1])}")
    return "".join(data)


def _length(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _towards(start: Point, end: Point, distance: float) -> Point:
    x = start[0] if start[0] == end[0] else start[0] + copysign(distance, end[0] - start[0])
    y = start[1] if start[1] == end[1] else start[1] + copysign(distance, end[1] - start[1])
    return x, y


# --------------------------------------------------------------------------------- stages


def _bands(diagram: Diagram, layout: Layout, left: float, right: float) -> str:
    """A coloured band behind the layers of each stage of the plan."""
    drawn = []
    for stage, kind in enumerate(diagram.stages):
        ranks = [layout.ranks[i] for i, b in enumerate(diagram.blocks) if b.stage == stage]
        if not ranks:
            continue
        top, bottom = layout.rows[max(ranks)][0] - TRACK - 8, layout.rows[min(ranks)][1] + 10
        box = Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
        drawn.append(_rectangle(box, 8.0, f"band {kind}"))
        lines = _BAND_TEXT[kind]
        for k, text in enumerate(lines):
            y = box.y + 4 + 13 * (k - (len(lines) - 1) / 2)
            drawn.append(_text(word(text), left + 8, y, "quiet", anchor="start"))
    return "\n".join(drawn)


# --------------------------------------------------------------------------------- legend

_KEY = {
    Shape.STATE: "state",
    Shape.LINEAR: "linear map",
    Shape.GATE: "linear map and activation",
    Shape.POINT: "elementwise",
    Shape.FUNCTION: "function",
}


def _legend(diagram: Diagram) -> list[tuple[float, str]]:
    """Width and SVG, drawn from x = 0, of each entry."""
    used = {block.shape for block in diagram.blocks}
    entries = []
    for shape, text in _KEY.items():
        if shape in used:
            square = 3.0 if shape in SQUARE else 6.0
            sample = _rectangle(Box(6, 0, 12, 12), square, f"block {shape.value}")
            entries.append(_entry(sample, 18, text))
    if Shape.STATE in used:
        line = f'<path class="loop" d="M0 0H18"/>{_sideways_head(24)}'
        entries.append(_entry(line, 29, "to the next time step"))
    return entries


def _sideways_head(tip: float) -> str:
    return f'<path class="loop-head" d="M{_n(tip)} 0l-{_n(_HEAD)} -3.2v6.4z"/>'


def _entry(sample: str, indent: float, text: str) -> tuple[float, str]:
    room = indent + width(word(text)) + 14
    return room, sample + _text(word(text), indent, 3.5, "quiet", anchor="start")


def _placed_legend(legend: list[tuple[float, str]], x: float, y: float) -> str:
    placed = []
    for room, drawn in legend:
        placed.append(f'<g transform="translate({_n(x)} {_n(y)})">{drawn}</g>')
        x += room
    return "\n".join(placed)


def _n(value: float) -> str:
    """A coordinate: at most one decimal, no negative zero."""
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
