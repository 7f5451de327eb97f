"""Which values recur, and with which others: the cycles of a graph without their order."""

from __future__ import annotations

from rnndsl.compiler.ir import Graph, LeafRole, ResultRole


def recurrence_of(graph: Graph) -> dict[int, int]:
    """The values that recur, each with a number that tells its recurrence from others.

    They are the strongly connected components with a cycle, found in a tenth of the time that takes:
    a value recurs if, within a step, a state reaches it and it reaches a state of one cycle.
    Sets of states are the bits of integers.
    """
    results = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    leaves = {graph.leaf_index(name, LeafRole.STATE): value for name, value in results.items()}
    count = len(graph.leaves) + len(graph.nodes)
    reached_by, reaches = [0] * count, [0] * count
    for bit, (leaf, value) in enumerate(leaves.items()):
        reached_by[leaf] |= 1 << bit
        reaches[value] |= 1 << bit
    for value, node in graph.node_values():
        for operand in node.operands:
            reached_by[value] |= reached_by[operand]
    for value, node in reversed(list(graph.node_values())):
        for operand in node.operands:
            reaches[operand] |= reaches[value]
    cycles = _cycles([reached_by[value] for value in leaves.values()])
    found = {}
    for value in range(count):
        for number, states in enumerate(cycles):
            if reached_by[value] & states and reaches[value] & states:
                found[value] = number
                break
    return found


def _cycles(before: list[int]) -> list[int]:
    """The sets of states that come from each other, for the states that each comes from in one
    step."""
    before, states = list(before), range(len(before))
    for via in states:
        for state in states:
            if before[state] >> via & 1:
                before[state] |= before[via]
    found = list[int]()
    for state in states:
        if before[state] >> state & 1 and not any(known >> state & 1 for known in found):
            both = (k for k in states if before[state] >> k & before[k] >> state & 1)
            found.append(sum(1 << k for k in both))
    return found
