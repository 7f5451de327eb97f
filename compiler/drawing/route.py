"""Tracks between two layers: the heights at which wires go sideways."""

from __future__ import annotations

from dataclasses import dataclass

# Upright parts nearer than this would be read as one line.
_NEAR = 5
# Wires on one track keep this distance.
_APART = 12


@dataclass(frozen=True, slots=True)
class Channel:
    """The track of each wire that bends, counted from the lower layer; how many there are."""

    track: dict[int, int]
    tracks: int


@dataclass(frozen=True, slots=True)
class _Net:
    wire: int
    bottom: int
    tops: tuple[int, ...]

    @property
    def low(self) -> int:
        return min(self.bottom, *self.tops)

    @property
    def high(self) -> int:
        return max(self.bottom, *self.tops)


def route(ends: list[tuple[int, int, int]]) -> Channel:
    """Tracks for the wires of one channel, given as (wire, x below, x above).

    Wires whose sideways parts overlap get different tracks.  Where an upright part that
    comes from below meets one that goes up at the same x, the one going up must turn off
    higher, or they would lie on each other; among the orders that remain it prefers those
    with fewer crossings.
    """
    tops: dict[tuple[int, int], list[int]] = {}
    for wire, bottom, top in ends:
        tops.setdefault((wire, bottom), []).append(top)
    nets = [_Net(wire, bottom, tuple(sorted(x))) for (wire, bottom), x in tops.items()]
    bent = [net for net in nets if net.low != net.high]
    bent = _sorted(bent)
    track: dict[int, int] = {}
    placed: list[_Net] = []
    for net in bent:
        below = [track[o.wire] for o in placed if _overlap(net, o)]
        track[net.wire] = max(below, default=-1) + 1
        placed.append(net)
    return Channel(track, max(track.values(), default=-1) + 1)


def clashes(ends: list[tuple[int, int, int]], channel: Channel) -> list[tuple[int, int]]:
    """Pairs of indices into ``ends``: the first comes up along where the second goes up.

    Tracks alone cannot part two wires that each stand in the other's way: they have to be
    moved sideways.
    """
    return [
        (k, m)
        for k, (wire, bottom, _) in enumerate(ends)
        for m, (other, _, top) in enumerate(ends)
        if wire != other
        and abs(bottom - top) < _NEAR
        and wire in channel.track
        and channel.track[wire] > channel.track.get(other, -1)
    ]


def _overlap(one: _Net, other: _Net) -> bool:
    return one.low < other.high + _APART and other.low < one.high + _APART


def _cost(lower: _Net, upper: _Net) -> int:
    """Crossings, and overlaps at a high price, with these nets in this order."""
    # Going up from the lower track crosses the upper's sideways part, and the upper's way
    # up from its source crosses the lower's.
    crossings = sum(upper.low < x < upper.high for x in lower.tops)
    crossings += lower.low < upper.bottom < lower.high
    # The upper's source stands where the lower goes up: they would run along each other.
    overlaps = sum(abs(upper.bottom - x) < _NEAR for x in lower.tops)
    return crossings + 100 * overlaps


def _sorted(nets: list[_Net]) -> list[_Net]:
    """An order from the lowest track up that is cheap for every two neighbours."""
    order = sorted(nets, key=lambda net: (net.low, net.high, net.wire))
    for _ in range(len(order)):
        changed = False
        for k in range(len(order) - 1):
            one, other = order[k], order[k + 1]
            if _cost(other, one) < _cost(one, other):
                order[k], order[k + 1] = other, one
                changed = True
        if not changed:
            break
    return order
