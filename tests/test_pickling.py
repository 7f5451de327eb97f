"""Frozen data comes back from a fast pickle as it was."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

import rnndsl
from rnndsl.compiler.lower import lower
from rnndsl.pickling import pickled


@dataclass(frozen=True, slots=True)
class Derived:
    """Data that is more than its arguments."""

    length: int
    doubled: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", 2 * self.length)


@dataclass(frozen=True)
class WithoutSlots:
    name: str


def test_a_graph_comes_back_with_its_spans() -> None:
    lowered = lower(rnndsl.load("lstm"), {})
    found = pickle.loads(pickled(lowered))
    assert found == lowered
    assert [node.span for node in found.graph.nodes] == [n.span for n in lowered.graph.nodes]


def test_what_is_shared_stays_shared() -> None:
    first = rnndsl.load("gru")
    found = pickle.loads(pickled((first, first)))
    assert found[0] is found[1]


def test_other_dataclasses_and_data_come_back_too() -> None:
    given = [Derived(3), WithoutSlots("a"), {"b": (1.0, None)}]
    found = pickle.loads(pickled(given))
    assert found == given
    assert found[0].doubled == 6


def test_such_pickles_are_smaller() -> None:
    graph = lower(rnndsl.load("lstm"), {}).graph
    assert len(pickled(graph)) < len(pickle.dumps(graph, pickle.HIGHEST_PROTOCOL))
