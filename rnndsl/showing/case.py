"""A cell on its way through the compiler, as far as someone asks to see it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from rnndsl.cell import Cell
from rnndsl.showing.setting import Setting
from rnndsl.source import Span

if TYPE_CHECKING:
    from rnndsl.compiler.autodiff import Differentiated
    from rnndsl.compiler.forms.choose import Blocks
    from rnndsl.compiler.ir import Graph
    from rnndsl.compiler.lower import Lowered
    from rnndsl.compiler.pipeline import Observer
    from rnndsl.compiler.plan import Plan
    from rnndsl.compiler.selection import Selection
    from rnndsl.compiler.separate import Program
    from rnndsl.typed import TypedCell

# A dimension that nobody gave a size, where a stage needs one.
DEFAULT_SIZE = 64


@dataclass
class Case:
    """A cell with its numbers; each stage is computed when it is first asked for.

    ``taken`` is the program that runs, if its step is another than the cell's.
    """

    cell: Cell
    numbers: Mapping[str, int | float]
    passes: Selection
    observers: Sequence[Observer] = ()
    setting: Setting = field(default_factory=Setting)
    taken: Program | None = None

    @cached_property
    def typed(self) -> TypedCell:
        from rnndsl.checking.check import typed_cell

        return typed_cell(self.cell, self.numbers)

    @cached_property
    def lowered(self) -> Lowered:
        from rnndsl.compiler.lower import lower_typed

        return lower_typed(self.typed)

    @cached_property
    def lowered_program(self) -> Program:
        from rnndsl.compiler.separate import separate

        return separate(self.lowered.graph)

    @cached_property
    def program(self) -> Program:
        """After the passes that every backend is given."""
        from rnndsl.compiler.separate import separate

        return self.taken or separate(self.after_first)

    @cached_property
    def blocks(self) -> tuple[Blocks, Case] | None:
        """How TVM trains a bound case in blocks of steps, and the case with a block for its step;
        None where it takes steps."""
        from rnndsl.compiler.forms.choose import AUTO
        from rnndsl.compiler.forms.in_blocks import blocks_of, in_blocks
        from rnndsl.compiler.separate import join

        graph = join(self.program)
        form = blocks_of(graph, AUTO, "tvm")
        program = in_blocks(graph, form.length) if form else None
        return (form, replace(self, taken=program)) if form and program else None

    @cached_property
    def after_first(self) -> Graph:
        """The lowered graph after the passes before differentiation."""
        return self.passes.run_first(self.lowered.graph, self.observers)

    @cached_property
    def after_second(self) -> Graph:
        """The backward graph after the passes that follow."""
        return self.passes.run_second(self.differentiated.backward, self.observers)

    @cached_property
    def differentiated(self) -> Differentiated:
        from rnndsl.compiler.autodiff import differentiate

        return differentiate(self.program.step)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Sizes for the dimensions that are still open."""
        return dict.fromkeys(sorted(self.lowered.graph.dims), DEFAULT_SIZE)

    @cached_property
    def bound(self) -> Case:
        """The same cell with a size for every dimension: what a backend is given."""
        return Case(
            self.cell, {**self.numbers, **self.sizes}, self.passes, self.observers, self.setting
        )

    def final(self, graph: Graph) -> Graph:
        """A forward graph after the passes that run when gradients are taken, or not wanted."""
        from rnndsl.compiler.pipeline import PIPELINES, run_pipeline

        return graph if self.passes.stops_early else run_pipeline(graph, PIPELINES["final"])

    def forward_plan(self, saving: bool) -> Plan:
        """The forward pass, with the values saved for the backward pass or without."""
        from rnndsl.compiler.split import split

        return split(self.final(self.differentiated.forward if saving else self.program.step))

    def backward_plan(self) -> Plan:
        from rnndsl.compiler.split import split

        return split(self.after_second, reverse=True)

    def location(self, span: Span) -> str:
        """File, line and column of a span."""
        for source in self.cell.sources():
            if source.name == span.file:
                line, column = source.location(span.start)
                return f"{source.name}:{line}:{column}"
        return span.file

    def call_name(self, span: Span) -> str:
        return self._calls.get(span, "")

    @cached_property
    def _calls(self) -> dict[Span, str]:
        """The function that is called at each place of the file, by the name used there."""
        texts = {source.name: source.text for source in self.cell.sources()}
        calls: dict[Span, str] = {}
        for value in self.typed.values:
            span = value.span
            # Operators have signs for names, and `linear` becomes operators.
            if span is not None and value.operands and value.function.isidentifier():
                written = re.match(r"\w+", texts.get(span.file, "")[span.start : span.end])
                calls[span] = written[0] if written else value.function
        return calls

    def after_pass(self, name: str) -> str:
        """The graph after the last run of a pass in the first pipeline that has it."""
        from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
        from rnndsl.compiler.text import print_graph

        for label, pipeline in PIPELINES.items():
            names = [entry.name for entry in pipeline.passes]
            if name in names:
                last = len(names) - names[::-1].index(name)
                start = self.lowered.graph
                if label == "backward":
                    start = self.differentiated.backward
                graph = run_pipeline(start, pipeline, stop_after=last)
                head = f"# after {name}, pass {last} of {len(names)} of the pipeline {label}\n"
                return head + print_graph(graph)
        raise AssertionError(f"the pass {name} is in no pipeline")

    def note_on_sizes(self) -> str:
        """A line that says which sizes were assumed; empty if none were."""
        shown = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        return f"# for {shown}\n" if shown else ""
