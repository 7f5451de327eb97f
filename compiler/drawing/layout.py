"""Places for blocks and bends: the layers become rows, with room for text and wires."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

from rnndsl.compiler.drawing.diagram import Block, Diagram, Shape
from rnndsl.compiler.drawing.layers import Layers, Piece, candidates
from rnndsl.compiler.drawing.place import Apart, Near, place
from rnndsl.compiler.drawing.route import Channel, clashes, route
from rnndsl.compiler.drawing.text import width

# Distances, in the drawing's units (a label is 15 high).
POINT = 26  # diameter of an operator
HEIGHT = {Shape.LINEAR: 28, Shape.GATE: 46, Shape.FUNCTION: 28}
SQUARE = frozenset(HEIGHT)  # the others have round ends
CHIP = 26  # height of inputs, states and results
_PADDING = 10
_BLOCK_GAP, _BEND_GAP = 18, 12
_PORT_STEP = 14
_PUSH = 7  # between wires that would lie on each other
_JOG = 10  # a smaller step to the side looks like a mistake
_STRAIGHTEN = 12
_STRAIGHTENINGS, _REPAIRS = 4, 12  # how often at most
_LABEL_ROOM, _ARROW_ROOM, TRACK = 15, 13, 10


@dataclass(frozen=True, slots=True)
class Box:
    """Where a block is: its middle, and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height / 2


Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One way of a wire, from its source to one reader, as corner points, upwards."""

    wire: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A place for every block, and a way for every wire; y grows downwards, from 0."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    rows: tuple[tuple[float, float], ...]  # top and bottom of each layer, lowest layer first
    ranks: tuple[int, ...]
    width: float
    height: float


def size(block: Block) -> tuple[int, int]:
    """Width and height of a block, from its text."""
    text = max(width(block.label), width(block.note))
    if block.shape is Shape.POINT:
        return max(POINT, round(text) + 12), POINT
    padding = _PADDING if block.shape is not Shape.GATE else 8
    return max(34, round(text) + 2 * padding), HEIGHT.get(block.shape, CHIP)


def layouts(diagram: Diagram) -> list[Layout]:
    """A few layered layouts: sources at the bottom, results at the top."""
    return [_placed(diagram, found) for found in candidates(diagram)]


def _placed(diagram: Diagram, found: Layers) -> Layout:
    sizes = [size(block) for block in diagram.blocks]
    ports = _ports(diagram, found, sizes)
    pushed: list[Apart] = []
    straight: set[Piece] = set()
    for repair in range(_REPAIRS):
        xs = _columns(diagram, found, sizes, ports, pushed, straight)
        channels = [_channel(found, level, xs, ports) for level in range(len(found.order) - 1)]
        pushes = [push for c in channels for push in _pushes(c, xs, ports)]
        jogs = {p for p in found.pieces if 0 < abs(_slant(p, xs, ports)) < _JOG} - straight
        if repair >= _STRAIGHTENINGS:
            jogs = set()
        if not pushes and not jogs:
            break
        pushed += pushes
        straight |= jogs
    return _rows(diagram, found, sizes, ports, xs, [channel for _, channel in channels])


def _slant(piece: Piece, xs: list[int], ports: dict[Piece, int]) -> int:
    return xs[piece.top] + ports.get(piece, 0) - xs[piece.bottom]


def _channel(
    found: Layers, level: int, xs: list[int], ports: dict[Piece, int]
) -> tuple[list[Piece], Channel]:
    pieces = [p for p in found.pieces if found.rank[p.bottom] == level]
    return pieces, route(_piece_ends(pieces, xs, ports))


def _piece_ends(
    pieces: list[Piece], xs: list[int], ports: dict[Piece, int]
) -> list[tuple[int, int, int]]:
    return [(p.wire, xs[p.bottom], xs[p.top] + ports.get(p, 0)) for p in pieces]


def _pushes(
    channel: tuple[list[Piece], Channel], xs: list[int], ports: dict[Piece, int]
) -> list[Apart]:
    """Least distances that part wires which would lie on each other."""
    pieces, tracks = channel
    ends = _piece_ends(pieces, xs, ports)
    found = []
    for k, m in clashes(ends, tracks):
        bottom, top, port = pieces[k].bottom, pieces[m].top, ports.get(pieces[m], 0)
        if ends[k][1] <= ends[m][2]:
            found.append(Apart(bottom, top, _PUSH - port))
        else:
            found.append(Apart(top, bottom, _PUSH + port))
    return found


def _ports(diagram: Diagram, found: Layers, sizes: list[tuple[int, int]]) -> dict[Piece, int]:
    """How far from the middle of its block each piece enters."""
    position = {item: k for layer in found.order for k, item in enumerate(layer)}
    offsets = {}
    for index, block in enumerate(diagram.blocks):
        pieces = found.below.get(index, [])
        key = (lambda p: p.port) if block.ordered else (lambda p: position[p.bottom])
        room = sizes[index][0] - (POINT - 14 if block.shape is Shape.POINT else 16)
        step = min(_PORT_STEP, room // max(1, len(pieces) - 1))
        for k, piece in enumerate(sorted(pieces, key=key)):
            offsets[piece] = round((k - (len(pieces) - 1) / 2) * step)
    return offsets


def _columns(
    diagram: Diagram,
    found: Layers,
    sizes: list[tuple[int, int]],
    ports: dict[Piece, int],
    pushed: list[Apart],
    straight: set[Piece],
) -> list[int]:
    """The middle of every item: wires as straight as the blocks' sizes let them be."""
    blocks = len(sizes)
    room_right = {w.source: round(width(w.label)) + 6 for w in diagram.wires if w.label}

    def half(item: int, right: bool) -> int:
        if item >= blocks:
            return 0
        half_width = sizes[item][0] // 2 + 1
        return max(half_width, room_right.get(item, 0)) if right else half_width

    apart = list(pushed)
    for layer in found.order:
        for left, right in pairwise(layer):
            gap = _BEND_GAP if left >= blocks or right >= blocks else _BLOCK_GAP
            apart.append(Apart(left, right, half(left, True) + gap + half(right, False)))
    near = []
    for piece in found.pieces:
        bends = (piece.bottom >= blocks) + (piece.top >= blocks)
        only = len(found.above[piece.bottom]) == len(found.below[piece.top]) == 1
        weight = 6 if only and not bends else (2, 3, 8)[bends]
        weight *= _STRAIGHTEN if piece in straight else 1
        near.append(Near(piece.bottom, piece.top, -ports.get(piece, 0), weight))
    return place(len(found.rank), apart, near, centred=True)


def _rows(
    diagram: Diagram,
    found: Layers,
    sizes: list[tuple[int, int]],
    ports: dict[Piece, int],
    xs: list[int],
    channels: list[Channel],
) -> Layout:
    blocks = len(sizes)
    heights = [max((sizes[i][1] for i in layer if i < blocks), default=0) for layer in found.order]
    labelled = {w.source for w in diagram.wires if w.label}
    # Heights upwards from the lowest row's bottom.
    rows: list[tuple[float, float]] = []
    at = 0.0
    gaps: list[tuple[float, float]] = []
    for level, height in enumerate(heights):
        rows.append((at, at + height))
        at += height
        if level < len(channels):
            label = _LABEL_ROOM if labelled & set(found.order[level]) else 8
            gap = label + TRACK * max(1, channels[level].tracks) + _ARROW_ROOM
            gaps.append((at + label, gap))
            at += gap
    total = at
    boxes = []
    for index in range(blocks):
        low, high = rows[found.rank[index]]
        boxes.append(Box(xs[index], total - (low + high) / 2, *sizes[index]))
    lines = _lines(diagram, found, xs, ports, channels, gaps, boxes, total)
    edges = [x for b in boxes for x in (b.left, b.right)] + [
        x for ln in lines for x, _ in ln.points
    ]
    shift = -min(edges, default=0)
    return _shifted(boxes, lines, rows, tuple(found.rank[:blocks]), shift, edges, total)


def _shifted(
    boxes: list[Box],
    lines: list[Line],
    rows: list[tuple[float, float]],
    ranks: tuple[int, ...],
    shift: float,
    edges: list[float],
    total: float,
) -> Layout:
    moved = tuple(Box(b.x + shift, b.y, b.width, b.height) for b in boxes)
    ways = tuple(Line(n.wire, tuple((x + shift, y) for x, y in n.points)) for n in lines)
    down = tuple((total - high, total - low) for low, high in rows)
    return Layout(moved, ways, down, ranks, max(edges, default=0) + shift, total)


def _lines(
    diagram: Diagram,
    found: Layers,
    xs: list[int],
    ports: dict[Piece, int],
    channels: list[Channel],
    gaps: list[tuple[float, float]],
    boxes: list[Box],
    total: float,
) -> list[Line]:
    """Walk from each reader down to the wire's source."""
    lines = []
    blocks = len(boxes)
    for piece in found.pieces:
        if piece.top >= blocks:
            continue
        x = xs[piece.top] + ports[piece]
        points: list[Point] = [(x, _entry(diagram.blocks[piece.top], boxes[piece.top], x))]
        part = piece
        while True:
            level = found.rank[part.bottom]
            track = channels[level].track.get(part.wire)
            top_x, bottom_x = points[-1][0], xs[part.bottom]
            if track is not None and top_x != bottom_x:
                y = total - (gaps[level][0] + TRACK * (track + 0.5))
                points += [(top_x, y), (bottom_x, y)]
            if part.bottom < blocks:
                points.append((bottom_x, boxes[part.bottom].top))
                break
            (part,) = found.below[part.bottom]
        lines.append(Line(piece.wire, tuple(reversed(points))))
    return lines


def _entry(block: Block, box: Box, x: float) -> float:
    """The height at which a line from below meets the outline of a block."""
    if block.shape in SQUARE:
        return box.bottom
    radius = box.height / 2
    beyond = max(0.0, abs(x - box.x) - (box.width / 2 - radius))
    return box.y + sqrt(max(0.0, radius**2 - beyond**2))
