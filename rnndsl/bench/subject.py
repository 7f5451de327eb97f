"""A subject: something that can be run and timed, and whose results can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnndsl.bench.problem import Problem

Results = dict[str, Tensor]


class PeerFailed(Exception):
    """A library cannot run a cell after all; the text says why, and stands in the report."""


@dataclass(frozen=True)
class Subject:
    """``run`` does what is timed; ``read`` names the tensors in what it returned."""

    run: Callable[[], Any]
    read: Callable[[Any], Results]


def _as_they_are(gradients: Results) -> Results:
    return gradients


@dataclass(frozen=True)
class OnTorch:
    """An implementation on torch tensors.

    ``call`` runs the sequence and returns the output [T, B, *shape] (a list of [B, *shape] when
    streaming) and the final states [B, *shape].  ``leaves`` are the tensors that training
    differentiates, by a name of their own; ``gradients`` turns their gradients into those of
    the cell's inputs and parameters.
    """

    call: Callable[[], tuple[Any, Sequence[Tensor]]]
    leaves: Mapping[str, Tensor]
    gradients: Callable[[Results], Results] = _as_they_are


def on_torch(problem: Problem, made: OnTorch) -> Subject:
    """The subject of an implementation on torch, in the problem's mode."""
    states = [f"final state {name}" for name in problem.program.states]
    leaves = list(made.leaves.values())

    def infer() -> Any:
        with torch.no_grad():
            return made.call()

    def train() -> Any:
        y, _ = made.call()
        return y, torch.autograd.grad(y, leaves, problem.cotangent, allow_unused=True)

    def read_inference(found: Any) -> Results:
        y, finals = found
        y = torch.stack(list(y)) if isinstance(y, list) else y
        return {"the output": y, **dict(zip(states, finals, strict=True))}

    def read_training(found: Any) -> Results:
        y, values = found
        raw = {
            name: torch.zeros_like(leaf) if value is None else value
            for (name, leaf), value in zip(made.leaves.items(), values, strict=True)
        }
        named = made.gradients(raw)
        return {"the output": y.detach(), **{f"gradient of {k}": v for k, v in named.items()}}

    if problem.mode == "train":
        return Subject(train, read_training)
    return Subject(infer, read_inference)
