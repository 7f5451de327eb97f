"""One time step as PyTorch code, op by op: what a careful user would write by hand."""

from __future__ import annotations

from rnndsl.backends.torch.analysis import PlanFacts
from rnndsl.backends.torch.naming import identifier
from rnndsl.backends.torch.source import HEADER
from rnndsl.backends.torch.statements import Statements
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind


def step_source(graph: Graph) -> tuple[str, str]:
    """The source of a bound step graph, and the name of its function.

    The function takes (params, like), tuple and tensor, and returns a function of (inputs,
    states) for one step [B, *shape] that returns (outputs, states).  Constants and views of
    parameters are made by the outer one.  Gradients flow through it by autograd, so
    ``stop_grad`` detaches.
    """
    facts = PlanFacts(_everything_in_the_loop(graph))
    write = Statements(graph, "like", facts.fused)
    body: list[str] = []
    for value, (leaf, name) in enumerate(zip(graph.leaves, write.names, strict=False)):
        group = write.streams if leaf.role is LeafRole.PARAM else write.local
        group[value] = name
    for value, node in graph.node_values():
        if value in facts.products:
            continue
        if not node.type.batched:
            write.assign(value, write.prelude, 0)
            continue
        write.assign(value, body, 1)
        if node.op == "stop_grad":
            body[-1] += ".detach()"
    outputs, states = (
        _tuple([write.expanded(r.value, write.text(r.value), 1) for r in graph.results_of(role)])
        for role in (ResultRole.OUTPUT, ResultRole.STATE)
    )
    inner = [
        *_unpacked(write.leaf_names(LeafRole.INPUT), "inputs"),
        *_unpacked(write.leaf_names(LeafRole.STATE), "states"),
        f"B = {write.leaf_names(LeafRole.INPUT)[0]}.shape[0]",
        *body,
        f"return {outputs}, {states}",
    ]
    outer = [
        *_unpacked(write.leaf_names(LeafRole.PARAM), "params"),
        *write.prelude,
        "def one_step(inputs, states):",
        *(f"    {line}" for line in inner),
        "return one_step",
    ]
    name = identifier(f"make_{graph.name}")
    lines = [f"def {name}(params, like):", *(f"    {line}" for line in outer)]
    return HEADER + "\n".join(lines) + "\n", name


def _everything_in_the_loop(graph: Graph) -> Plan:
    values = tuple(v for v, node in graph.node_values() if node.type.batched)
    states = tuple(leaf.name for leaf in graph.leaves_of(LeafRole.STATE))
    return Plan(graph, (Stage(StageKind.SCAN, values, states),))


def _unpacked(names: list[str], group: str) -> list[str]:
    return [f"({', '.join(names)},) = {group}"] if names else []


def _tuple(texts: list[str]) -> str:
    return f"({', '.join(texts)}{',' * (len(texts) == 1)})"


def stops_gradients(graph: Graph) -> bool:
    """Whether some value of a graph lets no gradient through."""
    return any(isinstance(node, Node) and node.op == "stop_grad" for node in graph.nodes)
