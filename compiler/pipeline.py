"""Passes by name, pipelines of them, and what may watch a pipeline run.

A pass is a pure function from graph to graph.  It is given a well-formed graph, returns a
well-formed graph of the same meaning and interface, and returns the very same object when
it changes nothing.  Verifying, dumping and timing are observers, never code in a pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from rnndsl.atomic import unwritable, write_text_atomically
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.text import print_graph
from rnndsl.compiler.verify import STAGES

GraphPass = Callable[[Graph], Graph]
# Called after every pass with the position (from 1), the pass, and the graphs before and after.
Observer = Callable[[int, "Pass", Graph, Graph], None]


class UnknownPassError(ValueError):
    """A pipeline names a pass that does not exist; the message suggests one that does."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One entry of the pass table.  ``home`` is ``module:function``, imported when first run."""

    name: str
    doc: str
    home: str

    def run(self, graph: Graph) -> Graph:
        module, _, function = self.home.partition(":")
        found: GraphPass = getattr(import_module(module), function)
        return found(graph)


def _pass(name: str, doc: str) -> Pass:
    function = name.replace("-", "_")
    return Pass(name, doc, f"rnndsl.compiler.passes.{function}:{function}")


PASSES: Mapping[str, Pass] = {
    entry.name: entry
    for entry in (
        _pass("canonicalize", "rewrite by identities that are exact in floating point"),
        _pass("simplify-real", "rewrite by identities of real numbers, to compare cells"),
        _pass("drop-stop-grad", "remove gradient stops, once differentiation is done"),
        _pass("fold", "evaluate ops on constants"),
        _pass("cse", "compute equal values once"),
        _pass("dce", "remove values that nothing uses"),
        _pass(
            "order-products",
            "multiply three or more factors in the cheapest order; rounds otherwise",
        ),
        _pass("associate-sums", "add first what does not recur; sums round in another order"),
        _pass("pack-gates", "join matrix products that share an operand"),
        _pass("pack-elementwise", "join equal elementwise ops on slices of one value"),
        _pass("factor-adjoints", "in backward graphs, multiply what recurs once; rounds otherwise"),
    )
}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Passes in order.  Its text is their names: ``canonicalize,fold,cse,dce``."""

    passes: tuple[Pass, ...]

    def __str__(self) -> str:
        return ",".join(entry.name for entry in self.passes)


def find_pass(name: str) -> Pass:
    """The pass of that name; UnknownPassError suggests the nearest one."""
    if name in PASSES:
        return PASSES[name]
    close = get_close_matches(name, PASSES, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(PASSES)}"
    raise UnknownPassError(f"there is no pass `{name}`; {hint}")


def parse_pipeline(text: str) -> Pipeline:
    """The inverse of ``str(pipeline)``; empty text is the pipeline that does nothing."""
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    return Pipeline(tuple(find_pass(name) for name in names))


PIPELINES: Mapping[str, Pipeline] = {
    name: parse_pipeline(text)
    for name, text in {
        "none": "",
        # Before differentiation: keeps gradients as well as values.
        "default": "canonicalize,fold,canonicalize,cse,order-products,canonicalize,associate-sums,"
        "pack-gates,"
        "pack-elementwise,canonicalize,fold,cse,dce",
        # On differentiated graphs, and where no gradient is wanted.
        "final": "drop-stop-grad,canonicalize,fold,canonicalize,cse,dce",
        # On backward graphs.
        "backward": "drop-stop-grad,canonicalize,fold,canonicalize,cse,factor-adjoints,"
        "associate-sums,canonicalize,fold,cse,dce",
        # For comparing candidates; the values may differ where they are not finite.
        "compare": "drop-stop-grad,canonicalize,fold,simplify-real,canonicalize,fold,cse,dce",
    }.items()
}


def find_pipeline(text: str) -> Pipeline:
    """The pipeline of that name, or of the passes that are named, with commas between.

    UnknownPassError for a pass that there is not.
    """
    return PIPELINES[text] if text in PIPELINES else parse_pipeline(text)


def run_pipeline(
    graph: Graph,
    pipeline: Pipeline,
    observers: Sequence[Observer] = (),
    stop_after: int | None = None,
) -> Graph:
    """Run the passes in order, the first ``stop_after`` of them if that is given."""
    for position, entry in enumerate(pipeline.passes[:stop_after], start=1):
        changed = entry.run(graph)
        for observer in observers:
            observer(position, entry, graph, changed)
        graph = changed
    return graph


def run_to_fixpoint(graph: Graph, pipeline: Pipeline, limit: int = 20) -> Graph:
    """Run a pipeline until it changes nothing, at most ``limit`` times."""
    for _ in range(limit):
        changed = run_pipeline(graph, pipeline)
        if changed is graph:
            return graph
        graph = changed
    return graph


def verifying(stage: str = "any") -> Observer:
    """An observer that verifies every pass's result; ``stage`` is a key of verify.STAGES."""
    check = STAGES[stage]

    def observe(position: int, entry: Pass, before: Graph, after: Graph) -> None:
        if after is not before:
            check(after)

    return observe


def dumping(folder: Path) -> Observer:
    """An observer that writes ``01-canonicalize.ir`` and so on into a folder, which it makes.

    RnndslError (E0123) when that cannot be done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None

    def observe(position: int, entry: Pass, before: Graph, after: Graph) -> None:
        path = folder / f"{position:02d}-{entry.name}.ir"
        write_text_atomically(path, print_graph(after, spans=True))

    return observe


@dataclass(slots=True)
class Timer:
    """An observer that notes the seconds each pass took, from its creation on."""

    seconds: list[tuple[str, float]] = field(default_factory=list)
    _last: float = field(default_factory=time.perf_counter)

    def __call__(self, position: int, entry: Pass, before: Graph, after: Graph) -> None:
        now = time.perf_counter()
        self.seconds.append((entry.name, now - self._last))
        self._last = now
