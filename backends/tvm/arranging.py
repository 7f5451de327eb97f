"""All that is decided about a plan before any loop is written: known without TVM."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.backends.tvm.absorbing import absorb
from rnndsl.backends.tvm.cutting import cut_lanes
from rnndsl.backends.tvm.delays import with_delays_apart
from rnndsl.backends.tvm.options import Options
from rnndsl.backends.tvm.outer_products import spread_products
from rnndsl.backends.tvm.schedule import Schedule, schedule
from rnndsl.compiler.plan import Plan, StageKind
from rnndsl.compiler.split import split

_DEFAULT = Options()


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A plan as it is run: its stages, and the loops and memory of each.

    ``moved`` are values that run in a scan though they do not recur.
    """

    plan: Plan
    schedule: Schedule
    moved: frozenset[int]


def arrange(plan: Plan, options: Options = _DEFAULT) -> Arrangement:
    """The stages, loops and memory of a plan over a bound graph."""
    graph = spread_products(plan.graph) if options.spread_products else plan.graph
    graph = cut_lanes(graph) if options.cut_lanes else graph
    if graph is not plan.graph:
        plan = split(graph, plan.reverse)
    found = with_delays_apart(absorb(plan) if options.absorb else plan)
    before = {v for s in plan.stages if s.kind is StageKind.SCAN for v in s.values}
    after = {v for s in found.stages if s.kind is StageKind.SCAN for v in s.values}
    return Arrangement(found, schedule(found), frozenset(after - before))
