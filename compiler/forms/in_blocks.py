"""A program whose step is a block of time steps: as cells with matrix states train."""

from __future__ import annotations

from rnndsl.compiler.forms.choose import Blocks, blocks_for
from rnndsl.compiler.forms.chunk import NotChunkedError, chunk, matrix_states
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.separate import Program, separate


def blocks_of(graph: Graph, form: str, engine: str) -> Blocks | None:
    """The blocks of a bound graph, for "tvm" or "torch"; None where steps are cheaper."""
    return blocks_for(graph, matrix_states(graph), form, engine)


def in_blocks(graph: Graph, length: int) -> Program | None:
    """A bound graph in blocks of so many steps, see :func:`chunk`; None if there is no such form."""
    try:
        made = chunk(graph, length)
    except NotChunkedError:
        return None
    return separate(run_pipeline(made, PIPELINES["default"]))
