"""The layers of a drawing: which block stands on which, and the order within each.

The method is Sugiyama's: assign layers, cut wires that pass through a layer by bends, then
order each layer by the medians of its neighbours until the crossings do not get fewer.
A wire is one net, however many blocks read it: it bends once per layer, as in a circuit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import sqrt
from random import Random

from rnndsl.compiler.drawing.diagram import SINKS, SOURCES, Diagram, Shape
from rnndsl.compiler.drawing.place import Apart, place

_SWEEPS = 24
_SHUFFLES, _SHUFFLED_ITEMS = 12, 800  # starts in random order: at most, and items in all
_KEPT = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a wire between an item of one layer and an item of the next above.

    ``port`` is the operand position at a block; None at a bend.
    """

    wire: int
    bottom: int
    top: int
    port: int | None


@dataclass(slots=True)
class Layers:
    """Items, numbered blocks first and then bends, by layer, in order from left to right."""

    rank: list[int]
    order: list[list[int]]
    pieces: list[Piece]
    below: dict[int, list[Piece]] = field(default_factory=dict)
    above: dict[int, list[Piece]] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)  # operands of blocks that tell them apart
    cost: list[int] = field(default_factory=list)  # of crossing a piece of each wire
    carried: list[tuple[int, int]] = field(default_factory=list)  # each state's two blocks

    def __post_init__(self) -> None:
        for item in range(len(self.rank)):
            self.below[item], self.above[item] = [], []
        for piece in self.pieces:
            self.below[piece.top].append(piece)
            self.above[piece.bottom].append(piece)


def candidates(diagram: Diagram) -> list[Layers]:
    """Ways to put the blocks on layers, from the sources, at the bottom, to the sinks.

    They differ in the orders within the layers and have few crossings, the first fewest;
    small diagrams, for which that is quick, get more of them.
    """
    rank = _ranks(diagram)
    pieces: list[Piece] = []
    for index, wire in enumerate(diagram.wires):
        pieces += _pieces(index, wire.source, wire.targets, rank)
    order: list[list[int]] = [[] for _ in range(max(rank, default=0) + 1)]
    for item, layer in enumerate(rank):
        order[layer].append(item)
    ports = {
        index: max((p for w in diagram.wires for t, p in w.targets if t == index), default=0) + 1
        for index, block in enumerate(diagram.blocks)
        if block.ordered
    }
    cost = [_crossing_cost(len(wire.targets)) for wire in diagram.wires]
    result = Layers(rank, order, pieces, ports=ports, cost=cost, carried=_carried(diagram))
    starts = [_from_sinks(result, order), _from_sources(result, order), order]
    shuffled = Random(0)  # so that a cell is drawn alike every time
    for _ in range(min(_SHUFFLES, _SHUFFLED_ITEMS // max(1, len(rank)))):
        roots = list(range(len(rank)))
        shuffled.shuffle(roots)
        starts.append(_walk(result, order, roots, down=True))
    ordered = sorted(
        (_ordered(result, start) for start in starts), key=lambda way: _badness(result, way)
    )
    different = {tuple(map(tuple, way)): way for way in reversed(ordered)}
    kept = [way for way in ordered if different.pop(tuple(map(tuple, way)), None)]
    return [replace(result, order=way) for way in kept[:_KEPT]]


def _ranks(diagram: Diagram) -> list[int]:
    """The layer of each block: every wire goes up, and their lengths are least in all."""
    count = len(diagram.blocks)
    # All sources share one variable, all sinks another.
    bottom, top = count, count + 1
    variable = list(range(count))
    for index, block in enumerate(diagram.blocks):
        if block.shape in SOURCES:
            variable[index] = bottom
        elif block.shape in SINKS:
            variable[index] = top
    total = count + 2
    apart = [Apart(bottom, top, 2 if len(set(variable)) > 2 else 1)]
    for index in range(count):
        apart.append(Apart(bottom, variable[index], 0 if variable[index] == bottom else 1))
        if variable[index] != top:
            apart.append(Apart(variable[index], top, 1))
    for wire in diagram.wires:
        end, total = total, total + 1
        apart.append(Apart(variable[wire.source], end, 1, weight=2))
        for target, _ in wire.targets:
            apart.append(Apart(variable[wire.source], variable[target], 1, weight=1))
            apart.append(Apart(variable[target], end, 0))
    start, total = total, total + len(diagram.stages) + 1
    for index, block in enumerate(diagram.blocks):
        if block.stage is not None:  # stages are stacked: none reaches into the next
            apart.append(Apart(start + block.stage, index, 0))
            apart.append(Apart(index, start + block.stage + 1, 1))
    values = place(total, apart, [])
    return [values[variable[index]] - values[bottom] for index in range(count)]


def _pieces(
    wire: int, source: int, targets: tuple[tuple[int, int], ...], rank: list[int]
) -> list[Piece]:
    """The pieces of one wire; its bends are appended to ``rank``."""
    pieces = []
    last, at = max(rank[target] for target, _ in targets), source
    for layer in range(rank[source] + 1, last + 1):
        for target, port in targets:
            if rank[target] == layer:
                pieces.append(Piece(wire, at, target, port))
        if layer < last:
            rank.append(layer)
            pieces.append(Piece(wire, at, len(rank) - 1, None))
            at = len(rank) - 1
    return pieces


# ------------------------------------------------------------------------------- ordering


def _from_sinks(result: Layers, order: list[list[int]]) -> list[list[int]]:
    """The order in which a walk down from the results meets the items."""
    return _walk(result, order, [i for layer in reversed(order) for i in layer], down=True)


def _from_sources(result: Layers, order: list[list[int]]) -> list[list[int]]:
    return _walk(result, order, [i for layer in order for i in layer], down=False)


def _walk(result: Layers, order: list[list[int]], roots: list[int], down: bool) -> list[list[int]]:
    found: dict[int, None] = {}
    waiting = list(reversed(roots))
    while waiting:
        item = waiting.pop()
        if item in found:
            continue
        found[item] = None
        if down:
            pieces = sorted(result.below[item], key=lambda p: -(p.port or 0))
            waiting += [piece.bottom for piece in pieces]
        else:
            waiting += [piece.top for piece in reversed(result.above[item])]
    position = {item: k for k, item in enumerate(found)}
    return [sorted(layer, key=position.__getitem__) for layer in order]


def _ordered(result: Layers, start: list[list[int]]) -> list[list[int]]:
    order = [list(layer) for layer in start]
    _transpose(result, order)
    best, least = [list(layer) for layer in order], _badness(result, order)
    for sweep in range(_SWEEPS):
        upwards = sweep % 2 == 0
        levels = range(1, len(order)) if upwards else range(len(order) - 2, -1, -1)
        position = _positions(order)
        for level in levels:
            keys = {item: _median(result, item, position, upwards) for item in order[level]}
            _sort_by_median(order[level], keys)
            for place_, item in enumerate(order[level]):
                position[item] = place_
        _transpose(result, order)
        badness = _badness(result, order)
        if badness < least:
            best, least = [list(layer) for layer in order], badness
    return best


def _positions(order: list[list[int]]) -> dict[int, int]:
    return {item: k for layer in order for k, item in enumerate(layer)}


def _neighbours(
    result: Layers, item: int, position: dict[int, int], below: bool
) -> list[tuple[float, int]]:
    """Where the other ends of an item's pieces are, and what it costs to cross each.

    Ports of blocks that tell their operands apart count as parts of a place.
    """
    if below:
        ends = [(float(position[p.bottom]), result.cost[p.wire]) for p in result.below[item]]
    else:
        ends = []
        for piece in result.above[item]:
            part = (piece.port or 0) / (2 * result.ports.get(piece.top, 1))
            place_ = position[piece.top] + (part if piece.top in result.ports else 0.0)
            ends.append((place_, result.cost[piece.wire]))
    return sorted(ends)


def _median(result: Layers, item: int, position: dict[int, int], below: bool) -> float | None:
    found = [place_ for place_, _ in _neighbours(result, item, position, below)]
    if not found:
        return None
    middle = len(found) // 2
    if len(found) % 2:
        return found[middle]
    return (found[middle - 1] + found[middle]) / 2


def _sort_by_median(layer: list[int], keys: dict[int, float | None]) -> None:
    """Sort in place; items without neighbours keep their places."""
    movable = [item for item in layer if keys[item] is not None]
    movable.sort(key=lambda item: keys[item] or 0.0)
    source = iter(movable)
    layer[:] = [item if keys[item] is None else next(source) for item in layer]


def _transpose(result: Layers, order: list[list[int]]) -> None:
    """Exchange neighbours while that removes crossings."""
    position = _positions(order)
    improved = True
    while improved:
        improved = False
        for layer in order:
            # What a layer is joined to stays where it is while the layer is rearranged.
            ends = {
                item: [_neighbours(result, item, position, below) for below in (True, False)]
                for item in layer
            }
            while _exchange(layer, ends):
                improved = True
            for place_, item in enumerate(layer):
                position[item] = place_


def _exchange(layer: list[int], ends: dict[int, list[list[tuple[float, int]]]]) -> bool:
    """Exchange neighbours of one layer in passing; whether that removed any crossing."""
    improved = False
    for k in range(len(layer) - 1):
        left, right = layer[k], layer[k + 1]
        if sum(map(_saved, ends[left], ends[right])) > 0:
            layer[k], layer[k + 1] = right, left
            improved = True
    return improved


def _badness(result: Layers, order: list[list[int]]) -> tuple[int, int]:
    """Crossings of wires; then those of the states' ways around the cell."""
    position = _positions(order)
    places = [(position[start], position[end]) for start, end in result.carried]
    around = sum(a < c and b > d for a, b in places for c, d in places)
    return _crossings(result, order), around


def _carried(diagram: Diagram) -> list[tuple[int, int]]:
    ends = {b.name: i for i, b in enumerate(diagram.blocks) if b.shape is Shape.NEXT}
    return [
        (i, ends[b.name])
        for i, b in enumerate(diagram.blocks)
        if b.shape is Shape.STATE and b.name in ends
    ]


def _crossings(result: Layers, order: list[list[int]]) -> int:
    position = _positions(order)
    total = 0
    for layer in order:
        ends = [_neighbours(result, item, position, below=False) for item in layer]
        for k, left in enumerate(ends):
            total += sum(_inversions(left, right) for right in ends[k + 1 :])
    return total


def _inversions(lefts: list[tuple[float, int]], rights: list[tuple[float, int]]) -> int:
    """The cost of the crossings between pieces that start at the left and at the right."""
    return sum(p * q for a, p in lefts for b, q in rights if a > b)


def _saved(lefts: list[tuple[float, int]], rights: list[tuple[float, int]]) -> int:
    """By how much the crossings become cheaper if the left and the right change places."""
    cost = 0
    for a, p in lefts:
        for b, q in rights:
            if a > b:
                cost += p * q
            elif a < b:
                cost -= p * q
    return cost


def _crossing_cost(readers: int) -> int:
    """A wire to many readers is one bus: to cross it is less confusing than its readers'
    number suggests."""
    return round(60 / sqrt(readers))
