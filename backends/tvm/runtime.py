"""Compiling and running in this process: what the differential tests use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from rnndsl.backends.tvm.calling import SequenceResult, call, pack_weights
from rnndsl.backends.tvm.making import Choices, begin_kernel, make_kernel, table_choices
from rnndsl.backends.tvm.options import Passed
from rnndsl.backends.tvm.signature import Array, Signature
from rnndsl.backends.tvm.worker import Worker
from rnndsl.compiler.interpreter import run_shared
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.plan import Plan
from rnndsl.compiler.separate import Program
from rnndsl.compiler.split import split


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """A kernel in memory, and how it is called."""

    signature: Signature
    function: Callable[..., object]

    def __call__(
        self, inputs: Mapping[str, Any], states: Mapping[str, Any], params: Mapping[str, Any]
    ) -> SequenceResult:
        """A whole sequence; shapes as in the signature."""
        weights = pack_weights(self.signature, params)
        return call(self.function, self.signature, inputs, states, weights)


def compile_plan(plan: Plan, dtype: str = "float32", target: str = "native") -> CompiledPlan:
    """Compile a plan over a bound graph for use in this process; no linker is needed."""
    choices = Choices(packed_weights=True, passing=Passed.TENSORS)
    return CompiledPlan(*make_kernel(plan, dtype, choices, target))


def compile_direct(
    plan: Plan, dtype: str = "float32", packed_weights: bool = False
) -> CompiledPlan:
    """As :func:`compile_plan`, but the function takes addresses.

    The arguments are the addresses of what the signature lists, then T, B and the number of
    elements of the workspace.  Nothing is checked.  With ``packed_weights`` the caller lays
    weights out as the signature says (:meth:`Weight.pack`), which pays where many calls share
    them; otherwise parameters are taken as they are, and the function packs them in each call.
    """
    return CompiledPlan(*make_kernel(plan, dtype, Choices(packed_weights, Passed.ADDRESSES)))


def begin_worker(
    plan: Plan, dtype: str = "float32", packed_weights: bool = False
) -> Callable[[], tuple[Signature, Worker]]:
    """A function that returns a kernel that several threads may run together, which is made
    meanwhile; weights as in :func:`compile_direct`."""
    begun = begin_kernel(plan, dtype, table_choices(packed_weights))

    def made() -> tuple[Signature, Worker]:
        signature, worker = begun()
        assert isinstance(worker, Worker)
        return signature, worker

    return made


@lru_cache(maxsize=64)
def _compiled(graph: Graph, dtype: str, reverse: bool) -> CompiledPlan:
    return compile_plan(split(graph, reverse), dtype)


def run_graph(
    graph: Graph,
    inputs: Mapping[str, Any],
    states: Mapping[str, Any],
    params: Mapping[str, Any],
    dtype: str = "float32",
    reverse: bool = False,
) -> SequenceResult:
    """A whole sequence of a bound step graph; ``reverse`` runs from the last step to the first."""
    return _compiled(graph, dtype, reverse)(inputs, states, params)


def run(
    program: Program,
    inputs: Mapping[str, Any],
    states: Mapping[str, Any],
    params: Mapping[str, Any],
    dtype: str = "float32",
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Outputs [T, B, *shape] and final states [B, *shape] of a bound program.

    Derived parameters come from the interpreter in float64; a state that is not given
    starts at its initial value.
    """
    prepared = run_shared(program.prepare, params)
    batch = np.asarray(next(iter(inputs.values()))).shape[1]
    started = dict(states)
    for name, value in prepared.items():
        state = name.removeprefix("init.")
        if name.startswith("init.") and state not in started:
            started[state] = np.broadcast_to(value, (batch, *value.shape))
    found = run_graph(program.step, inputs, started, {**params, **prepared}, dtype)
    return found.outputs, found.states
