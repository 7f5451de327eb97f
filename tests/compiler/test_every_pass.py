"""No pass changes the function of any graph, forward or backward, and every prefix of a pipeline
leaves a well-formed graph of the same function: so a fault can be found by bisection."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from rnndsl.cell import load, parse
from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.lower import lower
from rnndsl.compiler.pipeline import PASSES, PIPELINES, Pipeline, run_pipeline, verifying
from rnndsl.compiler.selection import NoSuchPassError, Selection, select
from rnndsl.compiler.separate import separate
from tests.cells.random_cells import random_cell
from tests.compiler.make import random_leaves
from tests.compiler.tolerance import assert_same, flat

SIZES = {"D": 3, "H": 4}
LIBRARY = ("lstm", "gru_reset_before", "linear_attention", "slstm", "layernorm_lstm")
RANDOM = range(7, 500, 45)
# Only these may leave a graph that the whole of its batch does not share with its values.
ONLY_TO_COMPARE = {"simplify-real"}


@cache
def graphs() -> tuple[tuple[Graph, bool], ...]:
    """Forward and backward graphs, with whether they run in reverse."""
    cells = [lower(load(name)).graph for name in LIBRARY]
    cells += [lower(parse(random_cell(seed))).graph for seed in RANDOM]
    found = []
    for graph in cells:
        bound = graph.bind({name: SIZES.get(name, 4) for name in graph.dims})
        found.append((bound, False))
        step = separate(run_pipeline(bound, PIPELINES["default"])).step
        found.append((differentiate(step).forward, False))
        found.append((differentiate(step).backward, True))
    return tuple(found)


def check(graph: Graph, changed: Graph, reverse: bool, seed: int) -> None:
    leaves = random_leaves(graph, 3, 2, seed)
    with np.errstate(all="ignore"):
        assert_same(flat(run(changed, *leaves, reverse)), graph, *leaves, reverse=reverse)


@pytest.mark.parametrize("name", [name for name in PASSES if name not in ONLY_TO_COMPARE])
def test_no_pass_changes_the_function(name: str) -> None:
    for seed, (graph, reverse) in enumerate(graphs()):
        changed = run_pipeline(graph, Pipeline((PASSES[name],)), [verifying()])
        if changed is not graph:
            check(graph, changed, reverse, seed)


@pytest.mark.parametrize("length", range(1, len(PIPELINES["default"].passes)))
def test_stopping_anywhere_leaves_the_function(length: int) -> None:
    chosen = select(stop_after=length)
    for seed, name in enumerate(("gru", "linear_attention")):
        graph = lower(load(name)).graph
        graph = graph.bind({d: SIZES.get(d, 4) for d in graph.dims})
        check(graph, chosen.run_first(graph, [verifying()]), False, seed)


@pytest.mark.parametrize("length", range(1, len(PIPELINES["backward"].passes)))
def test_stopping_anywhere_leaves_the_gradients(length: int) -> None:
    chosen = select(stop_after=length + len(PIPELINES["default"].passes))
    graph, reverse = graphs()[2]
    check(graph, chosen.run_second(graph, [verifying()]), reverse, length)


def test_passes_are_numbered_through() -> None:
    count = len(PIPELINES["default"].passes)
    assert select() == Selection()
    assert str(select(stop_after="cse").first).endswith(",cse")
    assert str(select(stop_after=count).first) == str(PIPELINES["default"])
    assert str(select(stop_after=count).second) == "drop-stop-grad"
    assert str(select(stop_after=count + 2).second) == "drop-stop-grad,canonicalize"
    assert str(select(stop_after="factor-adjoints").second).endswith(",factor-adjoints")
    assert not select("none", 0).first.passes
    assert str(select("cse,dce").first) == "cse,dce"
    seen: list[int] = []
    chosen = select("cse")
    chosen.run_second(chosen.run_first(graphs()[0][0]), [lambda n, *_: seen.append(n)])
    assert seen == list(range(2, 2 + len(PIPELINES["backward"].passes)))


@pytest.mark.parametrize("wrong", ["pack_gates", 99, "simplify-real"])
def test_a_pass_that_does_not_run_is_named(wrong: str | int) -> None:
    with pytest.raises(NoSuchPassError):
        select(stop_after=wrong)
