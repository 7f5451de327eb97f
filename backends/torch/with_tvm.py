"""Plans compiled by the TVM backend, called on torch tensors that lie in main memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.compiler.ir import LeafRole, ResultRole
from rnndsl.compiler.plan import Plan

Tensors = tuple[Tensor, ...]
_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


def compile_plan(plan: Plan) -> Callable[[Tensors, Tensors, Tensors], tuple[Tensors, ...]]:
    """A function like the generated one (see emit.py); a kernel per dtype, made on first use.

    Tensors and kernels share memory: nothing is copied but what must be contiguous.
    """
    from rnndsl.backends.tvm.runtime import compile_plan as compile_kernel

    graph = plan.graph
    kernels: dict[torch.dtype, Any] = {}
    inputs, states, params = (
        [leaf.name for leaf in graph.leaves_of(role)]
        for role in (LeafRole.INPUT, LeafRole.STATE, LeafRole.PARAM)
    )
    results = [
        [result.name for result in graph.results_of(role)]
        for role in (ResultRole.OUTPUT, ResultRole.STATE, ResultRole.SUM)
    ]

    def run(xs: Tensors, starts: Tensors, weights: Tensors) -> tuple[Tensors, ...]:
        like = xs[0]
        if like.device.type != "cpu":
            raise LayerInputError(
                catalogue.WrongDevice(None, "a stream for TVM", "cpu", str(like.device))
            )
        if like.dtype not in _DTYPES:
            expected = "float32 or float64"
            raise LayerInputError(
                catalogue.WrongDtype(None, "a stream for TVM", expected, str(like.dtype))
            )
        if like.dtype not in kernels:
            kernels[like.dtype] = compile_kernel(plan, _DTYPES[like.dtype])
        found = kernels[like.dtype](
            {name: x.numpy() for name, x in zip(inputs, xs, strict=True)},
            {name: x.numpy() for name, x in zip(states, starts, strict=True)},
            {name: x.numpy() for name, x in zip(params, weights, strict=True)},
        )
        groups = (found.outputs, found.states, found.totals)
        return tuple(
            tuple(torch.from_numpy(group[name]) for name in names)
            for group, names in zip(groups, results, strict=True)
        )

    return run
