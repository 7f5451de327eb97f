"""Totals over batch and time that are summed up where the caller wants them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from rnndsl.backends.tvm.schedule import Schedule, Storage, is_total
from rnndsl.compiler.ir import Graph, Node, ResultRole


def with_totals_in_place(graph: Graph, schedule: Schedule) -> Schedule:
    """The schedule with products over time summed up in the caller's arrays.

    Only those that are one result and nothing else: what follows from a total is computed from
    the total of one block of time, not from what the caller's array has gathered so far.
    """
    uses = Counter(value for _, node in graph.node_values() for value in node.operands)
    uses += Counter(result.value for result in graph.results)
    storage = dict(schedule.storage)
    for result in graph.results_of(ResultRole.SUM):
        found = graph.definition(result.value)
        is_product = isinstance(found, Node) and found.op == "contract" and is_total(found)
        if is_product and uses[result.value] == 1:
            storage[result.value] = Storage.TOTAL
    return replace(schedule, storage=storage)
