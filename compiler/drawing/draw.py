"""Drawings of cells, as SVG: what happens in one time step, and where the states go."""

from __future__ import annotations

from dataclasses import replace

from rnndsl.compiler.drawing.blocks import diagram
from rnndsl.compiler.drawing.diagram import Diagram
from rnndsl.compiler.drawing.svg import svg
from rnndsl.compiler.drawing.tidy import tidiest
from rnndsl.compiler.drawing.values import CallName
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.plan import Plan


def draw(
    drawn: Graph | Plan,
    theme: str = "auto",
    title: str = "",
    call_name: CallName = lambda span: "",
) -> str:
    """An SVG document of a step graph, or of a plan with its stages behind it.

    ``theme`` is ``light``, ``dark``, or ``auto`` for both in one file.  ``title`` is read
    out by screen readers; it is the graph's name unless given.  ``call_name`` gives the name
    of the function whose call a span covers (empty for none), so that ops which came from
    one call are drawn as one block.  The same graph gives the same text.
    """
    found = drawn_diagram(drawn, call_name)
    found = replace(found, title=title or found.title)
    return svg(found, tidiest(found), theme)


def drawn_diagram(drawn: Graph | Plan, call_name: CallName = lambda span: "") -> Diagram:
    """The blocks and wires that :func:`draw` draws."""
    if not isinstance(drawn, Plan):
        return diagram(drawn, call_name=call_name)
    stage_of = {value: k for k, stage in enumerate(drawn.stages) for value in stage.values}
    kinds = tuple(stage.kind.value for stage in drawn.stages)
    return diagram(drawn.graph, stage_of, kinds, call_name)
