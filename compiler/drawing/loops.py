"""The way of each state around the cell, from the end of one step to the start of the next."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.compiler.drawing.diagram import Diagram, Shape
from rnndsl.compiler.drawing.layout import Box, Layout, Point

_STEP = 9  # between neighbouring loops
_FIRST = 16  # between the drawing and the innermost loop


@dataclass(frozen=True, slots=True)
class Loop:
    """The line of one state, from its result over the side to its leaf."""

    state: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Loops:
    """All loops, and how far they reach over each side of the layout."""

    loops: tuple[Loop, ...]
    left: float
    right: float
    above: float
    below: float


def loops(diagram: Diagram, layout: Layout) -> Loops:
    """Loops on both sides, nested, that keep clear of the arrow of the returned value."""
    ends = _ends(diagram)
    out = {name: layout.boxes[end] for name, (end, _) in ends.items()}
    back = {name: layout.boxes[start] for name, (_, start) in ends.items()}
    middle = next(
        (layout.boxes[i].x for i, b in enumerate(diagram.blocks) if b.returned),
        layout.width / 2,
    )
    sides: dict[bool, list[str]] = {False: [], True: []}
    for name in sorted(ends, key=lambda n: out[n].x):
        if out[name].x == middle:
            lengths = [out[name].x + back[name].x, 2 * layout.width - out[name].x - back[name].x]
            sides[lengths[1] <= lengths[0]].append(name)
        else:
            sides[out[name].x > middle].append(name)
    found = []
    under = _levels_below(sides, back)
    for right, names in sides.items():
        inward = sorted(names, key=lambda n: out[n].x, reverse=right)
        for k, name in enumerate(inward):
            away = _FIRST + _STEP * k
            side = layout.width + away if right else -away
            # Beside the middle, where the arrow of the returned value leaves.
            start = out[name].x + (6 if right else -6)
            over, low = -away, layout.height + _FIRST + _STEP * under[name]
            points = [(start, out[name].top), (start, over), (side, over), (side, low)]
            points += [(back[name].x, low), (back[name].x, back[name].bottom)]
            found.append(Loop(name, tuple(points)))
    reach = {side: _FIRST + _STEP * (len(n) - 1) if n else 0.0 for side, n in sides.items()}
    above = max(reach.values(), default=0.0)
    below = _FIRST + _STEP * max(under.values()) if under else 0.0
    return Loops(tuple(found), reach[False], reach[True], above, below)


def _levels_below(sides: dict[bool, list[str]], back: dict[str, Box]) -> dict[str, int]:
    """Levels under the drawing: the way that is shorter in from its side is higher."""
    left = sorted(sides[False], key=lambda n: back[n].x)
    right = sorted(sides[True], key=lambda n: -back[n].x)
    levels = {name: k for k, name in enumerate(left)}
    for name in right:
        passed = [levels[n] for n in levels if n in right or back[n].x + _STEP > back[name].x]
        levels[name] = max(passed, default=-1) + 1
    return levels


def _ends(diagram: Diagram) -> dict[str, tuple[int, int]]:
    """For each state the block where it leaves and the block where it enters."""
    leaving = {b.name: i for i, b in enumerate(diagram.blocks) if b.shape is Shape.NEXT}
    entering = {b.name: i for i, b in enumerate(diagram.blocks) if b.shape is Shape.STATE}
    return {name: (leaving[name], entering[name]) for name in entering if name in leaving}
