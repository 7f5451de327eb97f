"""The peer that ships with PyTorch: nn.LSTM, nn.GRU and nn.RNN, and their cells for streaming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnndsl.bench.problem import Problem
from rnndsl.bench.subject import OnTorch, Results, Subject, on_torch
from rnndsl.cell import Cell, load
from rnndsl.compiler.lower import lower


@dataclass(frozen=True, slots=True)
class Gate:
    """Where a gate's rows come from: the parameters' names, None for a bias that is zero."""

    x: str
    h: str
    bias_x: str | None
    bias_h: str | None = None


def _gate(name: str) -> Gate:
    return Gate(f"{name}.x.weight", f"{name}.h.weight", f"{name}.bias")


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A module of torch.nn that computes what a cell of the library does."""

    cell: str
    whole: type[nn.RNNBase]
    one_step: type[nn.RNNCellBase]
    gates: tuple[Gate, ...]  # in the order in which torch stacks their rows


_COUNTERPARTS = (
    Counterpart("lstm", nn.LSTM, nn.LSTMCell, tuple(map(_gate, "ifgo"))),
    Counterpart(
        "gru",
        nn.GRU,
        nn.GRUCell,
        (_gate("r"), _gate("z"), Gate("n.x.weight", "u.h.weight", "n.bias", "u.bias")),
    ),
    Counterpart("elman", nn.RNN, nn.RNNCell, (_gate("a"),)),
)


def counterpart(cell: Cell, numbers: Mapping[str, int | float]) -> Counterpart | None:
    """The module of torch.nn that is this very cell, if there is one."""
    graph = lower(cell, _own(cell, numbers)).graph
    for found in _COUNTERPARTS:
        library = load(found.cell)
        other = lower(library, _own(library, numbers)).graph
        same = (graph.leaves, graph.nodes) == (other.leaves, other.nodes)
        if same and graph.results == other.results:
            return found
    return None


def _own(cell: Cell, numbers: Mapping[str, int | float]) -> dict[str, int | float]:
    names = {p.name for p in cell.definition.parameters if p.default is not None}
    return {name: value for name, value in numbers.items() if name in names}


def why_not(problem: Problem) -> str:
    if counterpart(problem.cell, problem.numbers) is None:
        return "torch.nn has no such cell"
    return ""


def prepare(problem: Problem) -> Subject:
    """The counterpart with our weights; its second biases are zero where they are redundant."""
    found = counterpart(problem.cell, problem.numbers)
    assert found is not None
    streaming = problem.mode == "stream"
    options = {}
    if found.cell == "elman":
        options["nonlinearity"] = "relu" if problem.numbers.get("rectified") else "tanh"
    make: Any = found.one_step if streaming else found.whole
    module = make(problem.shape.input, problem.shape.hidden, **options)
    suffix = "" if streaming else "_l0"
    weights = packed(found.gates, problem.params)
    with torch.no_grad():
        for name, value in weights.items():
            module.get_parameter(name + suffix).copy_(value)
    (x,) = problem.inputs.values()

    def sequence() -> Any:
        y, state = module(x)
        return y, [s[0] for s in _listed(state)]

    def stream() -> Any:
        outputs, state = [], None
        for step in problem.steps:
            (now,) = step.values()
            state = module(now, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return outputs, _listed(state)

    def gradients(raw: Results) -> Results:
        return _unpacked(found.gates, raw) | {name: raw[name] for name in problem.inputs}

    leaves = {**problem.inputs, **{n: module.get_parameter(n + suffix) for n in weights}}
    return on_torch(problem, OnTorch(stream if streaming else sequence, leaves, gradients))


def packed(gates: tuple[Gate, ...], params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    def bias(name: str | None, like: str) -> Tensor:
        return params[like].new_zeros(len(params[like])) if name is None else params[name]

    return {
        "weight_ih": torch.cat([params[g.x] for g in gates]),
        "weight_hh": torch.cat([params[g.h] for g in gates]),
        "bias_ih": torch.cat([bias(g.bias_x, g.x) for g in gates]),
        "bias_hh": torch.cat([bias(g.bias_h, g.x) for g in gates]),
    }


def _unpacked(gates: tuple[Gate, ...], raw: Results) -> Results:
    """Gradients of the cell's parameters from those of the stacked ones."""
    found = {}
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    rows = zip(*(raw[kind].chunk(len(gates)) for kind in kinds), strict=True)
    for gate, parts in zip(gates, rows, strict=True):
        for name, part in zip((gate.x, gate.h, gate.bias_x, gate.bias_h), parts, strict=True):
            if name is not None:
                found[name] = part
    return found


def _listed(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else list(state)
