"""The plan: which values run for all time steps at once, and which in the loop over time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from rnndsl.compiler.ir import Graph, LeafRole


class StageKind(Enum):
    """How the values of a stage are computed."""

    PARALLEL = "parallel"  # for all time steps at once
    SCAN = "scan"  # one time step after the other


@dataclass(frozen=True, slots=True)
class Stage:
    """Values that are computed together.

    ``values`` are node indices of the plan's graph, in order.  ``states`` are carried by a
    SCAN; in a PARALLEL stage they are the states that lie on no cycle: their leaf is the
    stream of their result delayed by one step, which the stage itself may compute.
    ``form`` is how a SCAN goes through time (see compiler/forms); a backend may take steps
    whatever it says.
    """

    kind: StageKind
    values: tuple[int, ...]
    states: tuple[str, ...]
    form: str = "steps"


@dataclass(frozen=True, slots=True)
class Joined:
    """A parameter of a plan that is the parameters ``parts`` side by side along ``axis``, where
    they have these ``sizes``."""

    name: str
    axis: int
    parts: tuple[str, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A step graph split over time: stages in order of execution.

    ``reverse`` plans run from the last time step to the first (the backward pass).
    Shared values (constants) belong to no stage: they are computed once, before the first.
    ``form`` is what was asked for its scans; ``forms.choose`` gives each scan its own.
    ``joined`` tells which parameters a backend may take in parts instead.
    """

    graph: Graph
    stages: tuple[Stage, ...]
    reverse: bool = False
    form: str = "steps"
    joined: tuple[Joined, ...] = ()

    @cached_property
    def params(self) -> tuple[str, ...]:
        """The names of the graph's parameters."""
        return tuple(leaf.name for leaf in self.graph.leaves_of(LeafRole.PARAM))

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The names of the graph's parameters, the joined ones in parts."""
        joined = {entry.name: entry.parts for entry in self.joined}
        names = [part for name in self.params for part in joined.get(name, (name,))]
        return tuple(dict.fromkeys(names))
