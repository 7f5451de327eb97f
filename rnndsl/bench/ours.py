"""Our own layers as subjects."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from rnndsl.backends.torch.module import Layer
from rnndsl.backends.tvm.toolchain import require_tvm
from rnndsl.bench.problem import Problem, make_layer
from rnndsl.bench.subject import OnTorch, Subject, on_torch


def prepare_torch(problem: Problem) -> Subject:
    """The PyTorch backend."""
    return _prepare(problem, problem.layer)


def prepare_tvm(problem: Problem) -> Subject:
    """The TVM backend."""
    return _with_backend(problem, "tvm")


def prepare_auto(problem: Problem) -> Subject:
    """The backend that layers have by default."""
    return _with_backend(problem, "auto")


def _with_backend(problem: Problem, backend: str) -> Subject:
    """On the same weights.  TVM is imported here: that is no compile time."""
    if find_spec("tvm") is not None:
        require_tvm()
        import_module("rnndsl.backends.tvm.lower_kernel")
    made = make_layer(problem.cell, problem.shape, problem.numbers, backend, problem.options)
    with torch.no_grad():
        for name, value in problem.params.items():
            made.first.tensor(name).copy_(value)
    return _prepare(problem, made)


def _prepare(problem: Problem, layer: Layer) -> Subject:
    names = list(problem.inputs)
    main, others = names[0], names[1:]
    params = {spec.name: layer.first.tensor(spec.name) for spec in layer.first.specs}
    leaves = {**problem.inputs, **{name: params[name] for name in problem.trained}}

    def sequence() -> Any:
        x = problem.inputs
        y, state = layer(x[main], **{name: x[name] for name in others})
        return y, [s[0] for s in _listed(state)]

    def stream() -> Any:
        going.reset()
        outputs = [
            going(x[main], **{name: x[name] for name in others}) if others else going(x[main])
            for x in problem.steps
        ]
        return outputs, [s[0] for s in _listed(going.state)]

    if problem.mode == "stream":
        going = layer.stream(problem.shape.batch)
        return on_torch(problem, OnTorch(stream, {}))
    return on_torch(problem, OnTorch(sequence, leaves))


def _listed(state: Any) -> list[Any]:
    return [state] if isinstance(state, torch.Tensor) else list(state)
