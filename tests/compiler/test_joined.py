"""Which parameters of a step are parameters side by side."""

from __future__ import annotations

from rnndsl.cell import load
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.joined import joined_params
from rnndsl.compiler.lower import lower
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.plan import Joined
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split


def lstm() -> tuple[Graph, Graph]:
    graph = lower(load("lstm")).graph.bind({"D": 3, "H": 4})
    parts = separate(run_pipeline(graph, PIPELINES["default"]))
    return parts.prepare, parts.step


def test_the_weights_of_gates_are_joined() -> None:
    prepare, _ = lstm()
    found = {entry.parts[0]: entry for entry in joined_params(prepare)}
    assert set(found) == {"i.x.weight", "i.h.weight", "i.bias"}
    weight = found["i.x.weight"]
    assert weight.axis == 0 and weight.sizes == (4, 4, 4, 4)
    assert set(weight.parts) == {f"{gate}.x.weight" for gate in "ifgo"}


def test_a_plan_tells_the_parts_of_its_parameters() -> None:
    _, step = lstm()
    plan = split(step)
    assert plan.parts == plan.params
    first = plan.params[0]
    joined = Joined(first, 0, ("a", "b"), (8, 8))
    plan = type(plan)(plan.graph, plan.stages, joined=(joined,))
    assert plan.parts == ("a", "b", *plan.params[1:])


def test_what_is_computed_of_parameters_is_not_joined() -> None:
    prepare, _ = lstm()
    assert not any(entry.name.startswith("init.") for entry in joined_params(prepare))
