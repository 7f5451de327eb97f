"""From a lowered graph to what a layer calls: a program handle and the order of parameters."""

from __future__ import annotations

from functools import lru_cache

import torch

from rnndsl.backends.torch.program import CHEAP, DEFAULT, SequenceProgram, make_program
from rnndsl.backends.torch.programs import register
from rnndsl.backends.torch.variants import with_lengths, with_resets, with_taps
from rnndsl.compiler.forms.choose import AUTO
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.text import parse_graph


@lru_cache(maxsize=256)
def base_graph(text: str) -> Graph:
    """The bound graph of a layer, from its text."""
    return parse_graph(text)


@lru_cache(maxsize=1024)
def variant(
    text: str,
    reverse: bool,
    backend: str,
    budget: int | None,
    taps: tuple[str, ...],
    resets: bool,
    lengths: bool,
    form: str = AUTO,
    passes: str = DEFAULT,
    recompute: str = CHEAP,
) -> SequenceProgram:
    """The program of a layer's graph with these extras."""
    graph = extended(with_taps(base_graph(text), taps), resets, lengths)
    return make_program(graph, reverse, backend, passes, budget, form, recompute)


def extended(graph: Graph, resets: bool, lengths: bool) -> Graph:
    """The graph with restart flags and with validity flags, where those are asked for."""
    graph = with_resets(graph) if resets else graph
    return with_lengths(graph) if lengths else graph


@lru_cache(maxsize=1024)
def _call(
    text: str,
    reverse: bool,
    backend: str,
    budget: int | None,
    taps: tuple[str, ...],
    resets: bool,
    lengths: bool,
    form: str,
    passes: str,
    recompute: str,
) -> tuple[str, str, tuple[str, ...]]:
    program = variant(
        text, reverse, backend, budget, taps, resets, lengths, form, passes, recompute
    )
    return register(program), program.text, tuple(program.params)


# torch.compile evaluates this while it traces: compiling a cell is not part of a user's graph.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def program_call(
    text: str,
    reverse: bool,
    backend: str,
    budget: int | None,
    taps: tuple[str, ...],
    resets: bool,
    lengths: bool,
    portable: bool,
    form: str = AUTO,
    passes: str = DEFAULT,
    recompute: str = CHEAP,
) -> tuple[str, tuple[str, ...]]:
    """What names the program to the operator, and the names of the parameters it takes.

    ``portable`` asks for the program's text, which means the same in every process; a handle
    is shorter, and valid here only.
    """
    handle, whole, params = _call(
        text, reverse, backend, budget, taps, resets, lengths, form, passes, recompute
    )
    return (whole if portable else handle), params
