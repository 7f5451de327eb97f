"""From a lowered graph to what a layer calls: a program handle and the order of parameters."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rnndsl.backends.torch.program import CHEAP, DEFAULT, SequenceProgram, make_program
from rnndsl.backends.torch.programs import register
from rnndsl.backends.torch.variants import with_lengths, with_resets, with_taps
from rnndsl.compiler.forms.choose import AUTO
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.text import parse_graph


class Request(NamedTuple):
    """What makes a program: a bound graph's text, what is added to it, and how it is compiled.

    A tuple, which torch.compile can take for a constant, but not make while it traces.
    """

    text: str
    reverse: bool
    backend: str
    budget: int | None = None
    form: str = AUTO
    passes: str = DEFAULT
    recompute: str = CHEAP
    taps: tuple[str, ...] = ()
    resets: bool = False
    lengths: bool = False

    def extended(self, taps: tuple[str, ...], resets: bool, lengths: bool) -> Request:
        """The same with these extras."""
        if not (taps or resets or lengths):
            return self
        return self._replace(taps=taps, resets=resets, lengths=lengths)


@lru_cache(maxsize=256)
def base_graph(text: str) -> Graph:
    """The bound graph of a layer, from its text."""
    return parse_graph(text)


@lru_cache(maxsize=1024)
def requested(request: Request) -> SequenceProgram:
    """The program that is asked for."""
    graph = with_taps(base_graph(request.text), request.taps)
    return make_program(
        extended(graph, request.resets, request.lengths),
        request.reverse,
        request.backend,
        request.passes,
        request.budget,
        request.form,
        request.recompute,
    )


def extended(graph: Graph, resets: bool, lengths: bool) -> Graph:
    """The graph with restart flags and with validity flags, where those are asked for."""
    graph = with_resets(graph) if resets else graph
    return with_lengths(graph) if lengths else graph


@lru_cache(maxsize=1024)
def _call(request: Request) -> tuple[str, str, tuple[str, ...]]:
    program = requested(request)
    return register(program), program.text, tuple(program.params)


def program_call(
    request: Request,
    portable: bool,
    taps: tuple[str, ...] = (),
    resets: bool = False,
    lengths: bool = False,
) -> tuple[str, tuple[str, ...]]:
    """What names the program to the operator, and the names of the parameters it takes.

    The program is what is requested, with these extras.  ``portable`` asks for the program's
    text, which means the same in every process; a handle is shorter, and valid here only.
    """
    handle, whole, params = _call(request.extended(taps, resets, lengths))
    return (whole if portable else handle), params


# torch.compile evaluates this while it traces: compiling a cell is not part of a user's graph.  So
# says torch.compiler.assume_constant_result, too, which needs a second to load the tracer.
program_call._dynamo_marked_constant = True  # type: ignore[attr-defined]
