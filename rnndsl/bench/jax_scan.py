"""The peer JAX: ``lax.scan`` over the same step graph, under ``jit``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnndsl.backends.torch.program import INIT
from rnndsl.bench.problem import Problem
from rnndsl.bench.subject import Results, Subject
from rnndsl.compiler.ir import LeafRole, ResultRole


def prepare(problem: Problem) -> Subject:
    """The problem as jitted functions of JAX; results are waited for."""
    _set_up()
    import jax
    import jax.numpy as jnp
    from jax import lax

    from rnndsl.bench.jax_ops import evaluate

    program = problem.program
    shared = [leaf.name for leaf in program.step.leaves_of(LeafRole.PARAM)]
    (output,) = program.step.results_of(ResultRole.OUTPUT)
    after = {r.name: r.value for r in program.step.results_of(ResultRole.STATE)}

    def one_example(x: Any, states: Any, values: Any) -> Any:
        found = evaluate(program.step, {**x, **states, **values})
        return found[output.value], {name: found[value] for name, value in after.items()}

    over_batch = jax.vmap(one_example, (0, 0, None), axis_size=problem.shape.batch)

    def one_step(states: Any, x: Any, values: Any) -> Any:
        return over_batch(x, states, values)

    def prepared(params: Any) -> dict[str, Any]:
        found = evaluate(program.prepare, params)
        return {**params, **{r.name: found[r.value] for r in program.prepare.results}}

    def starts(values: Any) -> dict[str, Any]:
        return {
            name: jnp.broadcast_to(values[INIT + name], (problem.shape.batch, *kind.sizes))
            for name, kind in program.states.items()
        }

    def sequence(inputs: Any, params: Any) -> Any:
        values = prepared(params)
        weights = {name: values[name] for name in shared}

        def body(states: Any, x: Any) -> Any:
            y, following = one_step(states, x, weights)
            return following, y

        finals, y = lax.scan(body, starts(values), inputs)
        return y, finals

    inputs, params = _arrays(problem.inputs), _arrays(problem.params)
    trained = {name: params.pop(name) for name in problem.trained}
    cotangent = jnp.asarray(problem.cotangent.numpy())
    if problem.mode == "stream":
        return _stream(problem, one_step, prepared({**params, **trained}), shared, starts)
    if problem.mode == "infer":
        run = jax.jit(sequence)
        return Subject(
            lambda: jax.block_until_ready(run(inputs, {**params, **trained})), _read_inference
        )

    def pulled(inputs: Any, trained: Any) -> Any:
        y, back = jax.vjp(lambda x, p: sequence(x, {**params, **p})[0], inputs, trained)
        return y, back(cotangent)

    step = jax.jit(pulled)

    def read_training(found: Any) -> Results:
        y, gradients = found
        named = {f"gradient of {k}": _tensor(v) for part in gradients for k, v in part.items()}
        return {"the output": _tensor(y), **named}

    return Subject(lambda: jax.block_until_ready(step(inputs, trained)), read_training)


def _set_up() -> None:
    """One thread where torch has one; JAX has no other number than that and all."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if torch.get_num_threads() == 1:
        one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ.setdefault("XLA_FLAGS", one)


def _stream(
    problem: Problem, one_step: Any, values: dict[str, Any], shared: list[str], starts: Any
) -> Subject:
    import jax

    run = jax.jit(one_step)
    weights = {name: values[name] for name in shared}
    first = starts(values)
    steps = [_arrays(step) for step in problem.steps]

    def stream() -> Any:
        outputs, states = [], first
        for x in steps:
            y, states = jax.block_until_ready(run(states, x, weights))
            outputs.append(y)
        return np.stack(outputs), states

    return Subject(stream, _read_inference)


def _read_inference(found: Any) -> Results:
    y, finals = found
    named = {f"final state {name}": _tensor(value) for name, value in finals.items()}
    return {"the output": _tensor(y), **named}


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    import jax.numpy as jnp

    return {name: jnp.asarray(value.detach().numpy()) for name, value in tensors.items()}


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array))
