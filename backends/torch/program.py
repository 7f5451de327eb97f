"""A program: everything that runs one layer in one direction, as data and as text.

The text is what an operator carries, so that a saved model needs nothing but the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from rnndsl.compiler.forms.choose import AUTO
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole, Type
from rnndsl.compiler.joined import joined_params
from rnndsl.compiler.pipeline import PIPELINES, find_pipeline, run_pipeline
from rnndsl.compiler.plan import Plan
from rnndsl.compiler.separate import Program, separate
from rnndsl.compiler.split import split
from rnndsl.compiler.text import parse_graphs, print_graph
from rnndsl.kept import kept

T = TypeVar("T")
CHEAP, MOST = RECOMPUTE = "cheap", "most"
DEFAULT = "default"  # the pipeline that a lowered graph goes through
INIT = "init."  # prefix of the prepare results that hold initial states


class ProgramTextError(ValueError):
    """The text of a program is not one that this version can read."""


@dataclass(frozen=True)
class SequenceProgram:
    """Two bound graphs and how to run them over time.

    ``prepare`` makes derived parameters and initial states out of parameters, ``step`` is one
    time step.  ``reverse`` runs from the last step to the first.  ``backend`` names what the
    plans are compiled with.  ``memory_budget`` is the most bytes of saved values that a backward
    pass may hold; None stands for all that there are.  ``form`` is how linear scans go through
    time (compiler/forms/choose.py).  ``recompute`` is what the backward pass makes again instead
    of reading it: what is cheaper so, or most of it, products too (compiler/saving.py).
    ``in_blocks``: a step of it is a block of time steps (chunked.py); its text does not say so.
    """

    prepare: Graph
    step: Graph
    reverse: bool = False
    backend: str = "torch"
    memory_budget: int | None = None
    form: str = AUTO
    recompute: str = CHEAP
    in_blocks: bool = False

    @cached_property
    def inputs(self) -> dict[str, Type]:
        """Streams by name, in order."""
        return {leaf.name: leaf.type for leaf in self.step.leaves_of(LeafRole.INPUT)}

    @cached_property
    def states(self) -> dict[str, Type]:
        return {leaf.name: leaf.type for leaf in self.step.leaves_of(LeafRole.STATE)}

    @cached_property
    def derived(self) -> frozenset[str]:
        """Names of the prepare results that the step reads."""
        made = {result.name for result in self.prepare.results}
        return frozenset(leaf.name for leaf in self.step.leaves_of(LeafRole.PARAM)) & made

    @cached_property
    def params(self) -> dict[str, Type]:
        """The parameters that the two graphs read, in order of first appearance."""
        found = {leaf.name: leaf.type for leaf in self.prepare.leaves}
        for leaf in self.step.leaves_of(LeafRole.PARAM):
            if leaf.name not in self.derived:
                found.setdefault(leaf.name, leaf.type)
        return found

    @cached_property
    def outputs(self) -> dict[str, Type]:
        results = self.step.results_of(ResultRole.OUTPUT)
        return {r.name: self.step.type_of(r.value) for r in results}

    def plan(self, graph: Graph, back: bool = False) -> Plan:
        """The plan of a step graph of this program; ``back`` is for those that go back in time."""
        joined = joined_params(self.prepare)
        return replace(split(graph, self.reverse != back), form=self.form, joined=joined)

    def step_plan(self) -> Plan:
        """The plan of the step, where no gradient is wanted."""
        return kept_with_kernels(
            self.backend,
            "step",
            self.text,
            lambda: self.plan(run_pipeline(self.step, PIPELINES["final"])),
        )

    @cached_property
    def text(self) -> str:
        """The program as text: a header line, then the two graphs."""
        order = "reverse" if self.reverse else "forward"
        budget = "" if self.memory_budget is None else f" memory {self.memory_budget}"
        form = "" if self.form == AUTO else f" form {self.form}"
        again = "" if self.recompute == CHEAP else f" recompute {self.recompute}"
        head = f"rnndsl program 1 {order} {self.backend}{budget}{form}{again}\n"
        return head + print_graph(self.prepare) + print_graph(self.step)


_HEAD = re.compile(
    r"rnndsl program (\d+) (forward|reverse) (\w+)(?: memory (\d+))?(?: form (\w+))?"
    r"(?: recompute (\w+))?\n"
)


def make_program(
    graph: Graph,
    reverse: bool = False,
    backend: str = "torch",
    passes: str = DEFAULT,
    memory_budget: int | None = None,
    form: str = AUTO,
    recompute: str = CHEAP,
) -> SequenceProgram:
    """The program of a bound, lowered graph; ``passes`` as for find_pipeline."""

    def make() -> Program:
        return separate(run_pipeline(graph, find_pipeline(passes)))

    parts = kept_with_kernels(backend, "program", [print_graph(graph, spans=True), passes], make)
    options = reverse, backend, memory_budget, form, recompute
    return SequenceProgram(parts.prepare, parts.step, *options)


def kept_with_kernels(backend: str, kind: str, made_of: object, make: Callable[[], T]) -> T:
    """What ``make`` returns; kept on disk where the kernels of that backend are, too."""
    return make() if backend == "torch" else kept(kind, made_of, make)


def parse_program(text: str) -> SequenceProgram:
    """The inverse of ``program.text``; ProgramTextError if it is not such a text."""
    head = _HEAD.match(text)
    if head is None:
        raise ProgramTextError(f"not a program: {text[:60]!r}")
    if head[1] != "1":
        raise ProgramTextError(f"program format {head[1]} is newer than this version of rnndsl")
    prepare, step = parse_graphs(text[head.end() :])
    budget = None if head[4] is None else int(head[4])
    options = head[2] == "reverse", head[3], budget, head[5] or AUTO, head[6] or CHEAP
    return SequenceProgram(prepare, step, *options)


def with_backend(program: SequenceProgram, backend: str) -> SequenceProgram:
    """The same program, compiled with something else."""
    return replace(program, backend=backend)
