"""Random cells and the standard library go through the compiler's front half unharmed."""

from __future__ import annotations

import numpy as np
import pytest

from rnndsl.cell import list_cells, load, parse
from rnndsl.compiler.autodiff import differentiate, differentiate_shared
from rnndsl.compiler.canonical import canonical_hash, same_cell
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.lower import lower
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline, verifying
from rnndsl.compiler.separate import separate
from rnndsl.compiler.text import parse_graph, print_graph
from rnndsl.compiler.verify import verify, verify_prepare, verify_step
from tests.cells.random_cells import random_cell
from tests.compiler.make import random_leaves
from tests.compiler.test_canonical import scramble
from tests.compiler.tolerance import assert_same, flat

SIZES = {"D": 3, "H": 4}
CHUNKS = [range(start, start + 50) for start in range(0, 500, 50)]


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_random_cells_parse_format_lower_and_print(seeds: range) -> None:
    for seed in seeds:
        cell = parse(random_cell(seed))
        text = str(cell)
        again = parse(text)
        assert again == cell
        assert str(again) == text
        graph = lower(cell).graph
        verify(graph)
        assert parse_graph(print_graph(graph)) == graph
        program = separate(graph)
        verify_step(program.step)
        verify_prepare(program.prepare)


def check_compiled(graph: Graph, seed: int) -> None:
    """Every pipeline keeps the function, forward and backward."""
    leaves = random_leaves(graph, 4, 2, seed)
    packed = run_pipeline(graph, PIPELINES["default"], [verifying()])
    with np.errstate(all="ignore"):
        assert_same(flat(run(packed, *leaves)), graph, *leaves)
    program = separate(packed)
    verify_step(program.step)
    verify_prepare(program.prepare)
    verify_prepare(differentiate_shared(program.prepare))
    backward = differentiate(program.step).backward
    final = run_pipeline(backward, PIPELINES["backward"], [verifying()])
    leaves = random_leaves(backward, 4, 2, seed)
    with np.errstate(all="ignore"):
        assert_same(flat(run(final, *leaves, True)), backward, *leaves, reverse=True)


@pytest.mark.parametrize("seed", range(0, 500, 20))
def test_pipelines_keep_the_function_of_random_cells(seed: int) -> None:
    check_compiled(lower(parse(random_cell(seed))).graph.bind(SIZES), seed)


@pytest.mark.parametrize("seed", range(0, 500, 50))
def test_scrambled_random_cells_hash_alike(seed: int) -> None:
    graph = lower(parse(random_cell(seed))).graph
    other = scramble(graph, seed)
    assert canonical_hash(other) == canonical_hash(graph)
    assert same_cell(other, graph)


@pytest.mark.parametrize("name", list_cells())
def test_pipelines_keep_the_function_of_library_cells(name: str) -> None:
    small = {"hyper": 3, "z": 2, "depth": 2, "heads": 1}
    cell = load(name)
    known = {item.name for item in cell.definition.parameters}
    numbers = {key: value for key, value in small.items() if key in known}
    graph = lower(cell, numbers).graph
    assert parse_graph(print_graph(graph)) == graph
    check_compiled(graph.bind({**SIZES, **dict.fromkeys(graph.dims - SIZES.keys(), 2)}), 0)


def test_library_cells_have_different_hashes() -> None:
    hashes = {name: canonical_hash(lower(load(name)).graph) for name in list_cells()}
    assert len(set(hashes.values())) == len(hashes)
