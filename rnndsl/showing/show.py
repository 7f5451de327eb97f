"""What ``rnndsl show`` shows: a cell as text at any stage of compilation, and as a drawing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rnndsl.cell import Cell
from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.errors_show import SpaceHasNoStage, ToolNotInstalled, UnknownStage
from rnndsl.source import Span

if TYPE_CHECKING:
    from rnndsl.compiler.autodiff import Differentiated
    from rnndsl.compiler.ir import Graph
    from rnndsl.compiler.lower import Lowered
    from rnndsl.compiler.plan import Plan
    from rnndsl.compiler.separate import Program
    from rnndsl.typed import TypedCell

# A dimension that nobody gave a size, where a stage needs one.
DEFAULT_SIZE = 64

STAGES: Mapping[str, str] = {
    "source": "the cell and those that it uses, formatted",
    "syntax": "the syntax tree",
    "typed": "every value with its type, loops unrolled and sub-cells in place",
    "graph": "the graph of one time step, as lowered",
    "prepare": "what is computed once per sequence, from parameters alone",
    "step": "what is computed at every time step",
    "forward": "the time step with the values that the backward pass reads",
    "backward": "one step of the backward pass",
    "plan": "the stages over time, forward and backward, with their cost",
    "torch": "the generated PyTorch code",
    "tvm": "the generated TensorIR",
}


def stage_names() -> tuple[str, ...]:
    """All that ``at`` can be: the stages, and the passes of the compiler."""
    from rnndsl.compiler.pipeline import PASSES

    return (*STAGES, *PASSES)


def show(
    cell: Cell,
    at: str = "graph",
    numbers: Mapping[str, int | float] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> str:
    """A cell at one stage of compilation, as text that ends in a line break.

    ``at`` is one of :func:`stage_names`; for a pass it is the graph after it has run.
    ``numbers`` replace the cell's defaults; ``sizes`` fix dimensions.  Where a stage needs
    sizes, those not given are 64.  RnndslError for an unknown stage, for mistakes in the
    cell, and for a backend that is not installed.
    """
    if at not in stage_names():
        close = did_you_mean(at, stage_names())
        raise RnndslError(UnknownStage(None, at, ", ".join(stage_names()), close))
    if cell.is_space and at not in ("source", "syntax"):
        raise RnndslError(SpaceHasNoStage(None, cell.name))
    case = _Case(cell, {**(numbers or {}), **(sizes or {})})
    return _SHOWN[at](case) if at in _SHOWN else case.after_pass(at)


def drawing(
    cell: Cell,
    numbers: Mapping[str, int | float] | None = None,
    sizes: Mapping[str, int] | None = None,
    theme: str = "auto",
    stages: bool = False,
) -> str:
    """One time step of a cell as an SVG document.

    ``theme`` is ``light``, ``dark``, or ``auto`` for both; ``stages`` draws what runs for
    all time steps at once apart from what runs step by step.
    """
    from rnndsl.compiler.drawing.draw import draw
    from rnndsl.compiler.split import split

    if cell.is_space:
        raise RnndslError(SpaceHasNoStage(None, cell.name))
    case = _Case(cell, {**(numbers or {}), **(sizes or {})})
    # Separated, derived parameters have lost the formula that the plain drawing shows.
    drawn = split(case.lowered_program.step) if stages else case.lowered.graph
    return draw(drawn, theme, cell.name, case.call_name)


@dataclass
class _Case:
    """A cell with its numbers; each stage is computed when it is first asked for."""

    cell: Cell
    numbers: Mapping[str, int | float]

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
        from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
        from rnndsl.compiler.separate import separate

        return separate(run_pipeline(self.lowered.graph, PIPELINES["default"]))

    @cached_property
    def differentiated(self) -> Differentiated:
        from rnndsl.compiler.autodiff import differentiate

        return differentiate(self.program.step)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Sizes for the dimensions that are still open."""
        return dict.fromkeys(sorted(self.lowered.graph.dims), DEFAULT_SIZE)

    def plan(self, graph: Graph, reverse: bool = False) -> Plan:
        from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
        from rnndsl.compiler.split import split

        passes = PIPELINES["backward" if reverse else "final"]
        return split(run_pipeline(graph, passes), reverse)

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


def _syntax(case: _Case) -> str:
    from rnndsl.showing.syntax_text import syntax_text

    return syntax_text(case.cell.definition)


def _graph(choose: Callable[[_Case], Graph]) -> Callable[[_Case], str]:
    def shown(case: _Case) -> str:
        from rnndsl.compiler.text import print_graph

        return print_graph(choose(case))

    return shown


def _plan(case: _Case) -> str:
    from rnndsl.showing.plan_text import parameters_text, plan_text

    shapes = [(spec.name, spec.shape) for spec in case.lowered.params]
    found = case.differentiated
    forward, backward = case.plan(found.forward), case.plan(found.backward, reverse=True)
    saved = len(found.saved)
    return (
        f"{case.note_on_sizes()}{case.cell.name}: {parameters_text(shapes, case.sizes)}; "
        f"{saved} values saved for the backward pass\n"
        "# behind each value: flops and bytes of the result, per example and time step\n\n"
        f"{plan_text('forward', forward, case.sizes, case.location)}\n"
        f"{plan_text('backward', backward, case.sizes, case.location)}"
    )


def _torch(case: _Case) -> str:
    try:
        from rnndsl.backends.torch.emit import emit_plan, emit_shared
        from rnndsl.backends.torch.source import HEADER
    except ModuleNotFoundError as error:
        raise _missing("torch", "PyTorch", "pip install torch", error) from None
    prepare = emit_shared(case.program.prepare.bind(case.sizes))
    step = emit_plan(case.plan(case.program.step.bind(case.sizes)))
    step = step.removeprefix(HEADER)
    return case.note_on_sizes() + prepare.rstrip("\n") + "\n\n\n" + step


def _tvm(case: _Case) -> str:
    try:
        from rnndsl.backends.tvm.lower_kernel import lower
    except ModuleNotFoundError as error:
        raise _missing("tvm", "TVM", 'pip install "rnndsl[tvm]"', error) from None
    kernel = lower(case.plan(case.program.step.bind(case.sizes)))
    return case.note_on_sizes() + kernel.script().rstrip("\n") + "\n"


def _missing(
    stage: str, package: str, command: str, error: ModuleNotFoundError
) -> RnndslError | ModuleNotFoundError:
    """The user's error if a package is not installed; the error itself if it is our own."""
    if (error.name or "").startswith("rnndsl"):
        return error
    return RnndslError(ToolNotInstalled(None, stage, package, command))


def _source(case: _Case) -> str:
    """The file itself, with its comments, where it holds just this cell; else all that it uses."""
    from rnndsl.formatting.formatter import format_file
    from rnndsl.parsing.parser import parse_file

    file = parse_file(case.cell.source)
    alone = len(file.cells) == 1 and not case.cell.subcells
    return format_file(file) if alone else str(case.cell)


_SHOWN: Mapping[str, Callable[[_Case], str]] = {
    "source": _source,
    "syntax": _syntax,
    "typed": lambda case: str(case.typed),
    "graph": _graph(lambda case: case.lowered.graph),
    "prepare": _graph(lambda case: case.program.prepare),
    "step": _graph(lambda case: case.program.step),
    "forward": _graph(lambda case: case.differentiated.forward),
    "backward": _graph(lambda case: case.differentiated.backward),
    "plan": _plan,
    "torch": _torch,
    "tvm": _tvm,
}
