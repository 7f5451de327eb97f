"""Peers made by torch.compile: of the whole loop over time, and of a single step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.exc import InductorError

from rnndsl.bench import eager
from rnndsl.bench.problem import Problem
from rnndsl.bench.subject import PeerFailed, Subject

BACKEND = "inductor"  # what torch.compile takes by default


def why_not(problem: Problem) -> str:
    """torch.compile writes C++."""
    found = any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    return "" if found else "torch.compile needs a C++ compiler, and there is none"


def why_no_cell(problem: Problem) -> str:
    if problem.mode == "stream":
        return "when streaming, compile is that already"
    return why_not(problem)


def prepare(problem: Problem) -> Subject:
    """``torch.compile`` of the whole sequence, or of a step when streaming."""
    return eager.prepare_wrapped(problem, _compiled)


def prepare_cell(problem: Problem) -> Subject:
    """``torch.compile`` of one step, called in a loop over unbound inputs."""
    make_step = eager.step_maker(problem.program)

    def one_step(shared: Any, like: Any, inputs: Any, states: Any) -> Any:
        return make_step(shared, like)(inputs, states)

    step = _compiled(one_step)

    def make(shared: Any, like: Any) -> Any:
        return lambda inputs, states: step(shared, like, inputs, states)

    return eager.whole_sequence(problem, eager.looped(problem.program, make))


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # It gives up after a few shapes otherwise.
    torch.compiler.reset()
    inner: Callable[..., Any] = torch.compile(function, fullgraph=True, backend=BACKEND)

    def run(*arguments: Any) -> Any:
        try:
            return inner(*arguments)
        except (TorchDynamoException, InductorError) as error:
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise PeerFailed(f"it failed: {reason}") from error

    return run
