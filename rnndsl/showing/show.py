"""What ``rnndsl show`` shows: a cell as text at any stage of compilation, and as a drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from rnndsl.cell import Cell
from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.errors_show import SpaceHasNoStage, ToolNotInstalled, UnknownStage
from rnndsl.showing.case import Case
from rnndsl.showing.setting import Setting

if TYPE_CHECKING:
    from rnndsl.compiler.ir import Graph
    from rnndsl.compiler.selection import Selection

STAGES: Mapping[str, str] = {
    "source": "the cell and those that it uses, formatted",
    "syntax": "the syntax tree",
    "typed": "every value with its type, loops unrolled and sub-cells in place",
    "graph": "the graph of one time step, as lowered",
    "passes": "the graph after the compiler's passes",
    "prepare": "what is computed once per sequence, from parameters alone",
    "step": "what is computed at every time step",
    "forward": "the time step with the values that the backward pass reads",
    "backward": "one step of the backward pass",
    "plan": "what runs when, in which loops, what is saved, and what it costs",
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
    passes: Selection | None = None,
    dump: Path | None = None,
    setting: Setting | None = None,
) -> str:
    """A cell at one stage of compilation, as text that ends in a line break.

    ``at`` is one of :func:`stage_names`; for a pass it is the graph after it has run.
    ``numbers`` replace the cell's defaults; ``sizes`` fix dimensions.  Where a stage needs
    sizes, those not given are 64.  ``passes`` run instead of the usual ones; into the folder
    ``dump`` the graph is written after each of them.  ``setting`` is what a plan's times are
    predicted for; by default T = 35, B = 20 on a usual machine.  RnndslError for an unknown stage, for
    mistakes in the cell, and for a backend that is not installed.
    """
    if at not in stage_names():
        close = did_you_mean(at, stage_names())
        raise RnndslError(UnknownStage(None, at, ", ".join(stage_names()), close))
    if cell.is_space and at not in ("source", "syntax"):
        raise RnndslError(SpaceHasNoStage(None, cell.name))
    case = _case(cell, numbers, sizes, passes, dump, setting)
    if dump is not None:
        _passes(case)
    return _SHOWN[at](case) if at in _SHOWN else case.after_pass(at)


def _case(
    cell: Cell,
    numbers: Mapping[str, int | float] | None,
    sizes: Mapping[str, int] | None,
    passes: Selection | None = None,
    dump: Path | None = None,
    setting: Setting | None = None,
) -> Case:
    from rnndsl.compiler.pipeline import dumping
    from rnndsl.compiler.selection import Selection

    observers = () if dump is None else (dumping(dump),)
    chosen = {**(numbers or {}), **(sizes or {})}
    return Case(cell, chosen, passes or Selection(), observers, setting or Setting())


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
    case = _case(cell, numbers, sizes)
    # Separated, derived parameters have lost the formula that the plain drawing shows.
    drawn = split(case.lowered_program.step) if stages else case.lowered.graph
    return draw(drawn, theme, cell.name, case.call_name)


def _syntax(case: Case) -> str:
    from rnndsl.showing.syntax_text import syntax_text

    return syntax_text(case.cell.definition)


def _graph(choose: Callable[[Case], Graph]) -> Callable[[Case], str]:
    def shown(case: Case) -> str:
        from rnndsl.compiler.text import print_graph

        return print_graph(choose(case))

    return shown


def _passes(case: Case) -> str:
    """The graph after the last pass that runs: the lowered one, or the backward one."""
    from rnndsl.compiler.text import print_graph

    stays = case.passes.stops_early or not case.passes.stopped
    after = case.after_first if stays else case.after_second
    if case.observers and not case.passes.stops_early:
        _ = case.after_second  # for the observers
    return print_graph(after)


def _plan(case: Case) -> str:
    from rnndsl.showing.plan_page import plan_page, saved_text, setting_text
    from rnndsl.showing.taken import inference_seconds, taken

    bound = case.bound
    trained = taken(bound)
    counts = [prod(int(d.bind(case.sizes)) for d in spec.shape) for spec in case.lowered.params]
    shown, setting = trained.case, trained.case.setting
    forward = shown.forward_plan(True)
    saved = saved_text(shown.program.step, shown.differentiated, forward, setting)
    sizes = ", ".join(f"{n} = {s}" for n, s in {**case.numbers, **case.sizes}.items())
    return (
        f"{case.cell.name}{' at ' + sizes if sizes else ''}; "
        f"T = {bound.setting.steps}, B = {bound.setting.batch}, float32\n"
        f"{sum(counts):,} parameters in {len(counts)} arrays; "
        f"inference, which saves nothing: predicted {1e3 * inference_seconds(bound):.2f} ms\n"
        f"{setting_text(setting)}\n{trained.note}\n"
        f"{saved}\n"
        f"{plan_page('forward', forward, setting, case.location)}\n"
        f"{plan_page('backward', shown.backward_plan(), setting, case.location)}"
    )


def _torch(case: Case) -> str:
    try:
        from rnndsl.backends.torch.emit import emit_plan, emit_shared
        from rnndsl.backends.torch.source import HEADER
    except ModuleNotFoundError as error:
        raise _missing("torch", "PyTorch", "pip install torch", error) from None
    prepare = emit_shared(case.bound.program.prepare)
    step = emit_plan(case.bound.forward_plan(False))
    step = step.removeprefix(HEADER)
    return case.note_on_sizes() + prepare.rstrip("\n") + "\n\n\n" + step


def _tvm(case: Case) -> str:
    try:
        from rnndsl.backends.tvm.lower_kernel import lower
    except ModuleNotFoundError as error:
        raise _missing("tvm", "TVM", 'pip install "rnndsl[tvm]"', error) from None
    kernel = lower(case.bound.forward_plan(False))
    return case.note_on_sizes() + kernel.script().rstrip("\n") + "\n"


def _missing(
    stage: str, package: str, command: str, error: ModuleNotFoundError
) -> RnndslError | ModuleNotFoundError:
    """The user's error if a package is not installed; the error itself if it is our own."""
    if (error.name or "").startswith("rnndsl"):
        return error
    return RnndslError(ToolNotInstalled(None, stage, package, command))


def _source(case: Case) -> str:
    """The file itself, with its comments, where it holds just this cell; else all that it uses."""
    from rnndsl.formatting.formatter import format_file
    from rnndsl.parsing.parser import parse_file

    file = parse_file(case.cell.source)
    alone = len(file.cells) == 1 and not case.cell.subcells
    return format_file(file) if alone else str(case.cell)


_SHOWN: Mapping[str, Callable[[Case], str]] = {
    "source": _source,
    "syntax": _syntax,
    "typed": lambda case: str(case.typed),
    "graph": _graph(lambda case: case.lowered.graph),
    "passes": _passes,
    "prepare": _graph(lambda case: case.program.prepare),
    "step": _graph(lambda case: case.program.step),
    "forward": _graph(lambda case: case.differentiated.forward),
    "backward": _graph(lambda case: case.differentiated.backward),
    "plan": _plan,
    "torch": _torch,
    "tvm": _tvm,
}
