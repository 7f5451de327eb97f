"""Who compiles a plan: generated PyTorch code, or TVM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnndsl.backends.torch import with_tvm
from rnndsl.backends.torch.emit import emit_plan, emit_shared, function_name
from rnndsl.backends.torch.source import load_function
from rnndsl.compiler.forms.choose import with_forms
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.plan import Plan


def compile_with_torch(plan: Plan) -> Callable[..., Any]:
    """Generate PyTorch code for a step plan and load it."""
    return load_function(emit_plan(with_forms(plan, "torch")), function_name(plan.graph))


# A plan compiler returns a function of (inputs, states, params), tuples of tensors, that
# returns (outputs, final states, sums), as described in emit.py.
PLAN_COMPILERS: dict[str, Any] = {
    "torch": compile_with_torch,
    "tvm": with_tvm.compile_plan,
}
# What a layer may be asked for: by automatic.py, or one of them.
BACKENDS = ("auto", *PLAN_COMPILERS)


def compile_plan(plan: Plan, backend: str) -> Callable[..., Any]:
    """The function that runs a step plan; KeyError if there is no such backend."""
    found: Callable[..., Any] = PLAN_COMPILERS[backend](plan)
    return found


def compile_shared(graph: Graph, backend: str = "torch") -> Callable[..., Any]:
    """A function of (params, like) that returns what a prepare graph makes of parameters: generated
    PyTorch code, or for the backend "tvm" a kernel where that is quicker."""
    if backend == "tvm":
        from rnndsl.backends.torch.shared_kernels import compile_small, is_worth_a_kernel

        if is_worth_a_kernel(graph):
            return compile_small(graph)
    return load_function(emit_shared(graph), function_name(graph))
