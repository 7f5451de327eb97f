"""How tidy a layout is: the measure by which one is chosen among several."""

from __future__ import annotations

from itertools import pairwise

from rnndsl.compiler.drawing.diagram import Diagram
from rnndsl.compiler.drawing.layout import Layout, Point, layouts

# What one crossing and one bend are worth, in units of length.
_CROSSING, _BEND = 70.0, 12.0

_Piece = tuple[int, Point, Point]


def tidiest(diagram: Diagram) -> Layout:
    """The best layout of a diagram among the candidates."""
    return min(layouts(diagram), key=untidiness)


def untidiness(layout: Layout) -> float:
    """Crossings, bends and lengths of the wires, weighed; less is better."""
    lines = [(line.wire, *pair) for line in layout.lines for pair in pairwise(line.points)]
    # Lines of one wire coincide up to where they part: what coincides counts once.
    pieces = list(dict.fromkeys(lines))
    level = [piece for piece in pieces if piece[1][1] == piece[2][1]]
    upright = [piece for piece in pieces if piece[1][0] == piece[2][0]]
    crossings = len(
        {
            (one[0], other[0], other[1][0], one[1][1])
            for one in level
            for other in upright
            if one[0] != other[0] and _cross(one, other)
        }
    )
    length = sum(abs(a[0] - b[0]) + abs(a[1] - b[1]) for _, a, b in pieces)
    return _CROSSING * crossings + _BEND * len(level) + length


def _cross(level: _Piece, upright: _Piece) -> bool:
    x, y = upright[1][0], level[1][1]
    left, right = sorted((level[1][0], level[2][0]))
    top, bottom = sorted((upright[1][1], upright[2][1]))
    return left < x < right and top < y < bottom
