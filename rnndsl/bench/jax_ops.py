"""One JAX expression for each op of the graph, for one example; the batch is left to vmap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from rnndsl.compiler.ir import Graph, Node

Expression = Callable[..., Any]  # of the operands, then the attributes by name


def evaluate(graph: Graph, leaves: Mapping[str, Any]) -> list[Any]:
    """All values of one step of one example; shared graphs are evaluated likewise."""
    values = [leaves[leaf.name] for leaf in graph.leaves]
    for node in graph.nodes:
        operands = (values[v] for v in node.operands)
        values.append(EXPRESSIONS[node.op](*operands, **_attributes(node)))
    return values


def _attributes(node: Node) -> dict[str, Any]:
    """Dimensions as numbers; ``sum_batch`` is left out (forward graphs have no sums)."""
    return {
        key: tuple(v if isinstance(v, str) else int(v) for v in value)
        if isinstance(value, tuple)
        else value
        for key, value in node.attrs
        if key != "sum_batch"
    }


def _compare(function: Expression) -> Expression:
    return lambda a, b: function(a, b).astype(a.dtype)


def _cumsum(a: Any, axis: int, reverse: bool) -> Any:
    return lax.cumsum(a, axis, reverse)


def _pad(a: Any, axis: int, bounds: tuple[int, int]) -> Any:
    return jnp.pad(a, [bounds if k == axis else (0, 0) for k in range(a.ndim)])


def _scatter_add(a: Any, axis: int, indices: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    place = (slice(None),) * axis + (jnp.array(indices),)
    return jnp.zeros(shape, a.dtype).at[place].add(a)


def _iota(axis: int, shape: tuple[int, ...]) -> Any:
    return lax.broadcasted_iota(jnp.float32, shape, axis)


EXPRESSIONS: dict[str, Expression] = {
    "neg": jnp.negative,
    "abs": jnp.abs,
    "sign": jnp.sign,
    "exp": jnp.exp,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "sqrt": jnp.sqrt,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "logsigmoid": jax.nn.log_sigmoid,
    "erf": jax.scipy.special.erf,
    "floor": jnp.floor,
    "round": jnp.round,
    "step": lambda a: (a > 0).astype(a.dtype),
    "stop_grad": lax.stop_gradient,
    "inverse": jnp.linalg.inv,
    "add": jnp.add,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "div": jnp.divide,
    "max": jnp.maximum,
    "min": jnp.minimum,
    "pow": jnp.power,
    "mod": jnp.mod,
    "lt": _compare(jnp.less),
    "le": _compare(jnp.less_equal),
    "gt": _compare(jnp.greater),
    "ge": _compare(jnp.greater_equal),
    "eq": _compare(jnp.equal),
    "ne": _compare(jnp.not_equal),
    "where": lambda c, a, b: jnp.where(c != 0, a, b),
    "reduce_sum": lambda a, axis: a.sum(axis),
    "reduce_max": lambda a, axis: a.max(axis),
    "argmax": lambda a, axis: a.argmax(axis).astype(a.dtype),
    "cumsum": _cumsum,
    "cummax": lambda a, axis: lax.cummax(a, axis),
    "broadcast": lambda a, axes, shape: lax.broadcast_in_dim(a, shape, axes),
    "reshape": lambda a, shape: a.reshape(shape),
    "transpose": lambda a, perm: a.transpose(perm),
    "concat": lambda *parts, axis: jnp.concatenate(parts, axis),
    "slice": lambda a, axis, bounds: lax.slice_in_dim(a, *bounds, axis=axis),
    "pad": _pad,
    "gather": lambda a, axis, indices: jnp.take(a, jnp.array(indices), axis),
    "scatter_add": _scatter_add,
    "roll": lambda a, axis, shift: jnp.roll(a, shift, axis),
    "contract": lambda a, b, spec: jnp.einsum(spec, a, b),
    "full": lambda shape, value: jnp.full(shape, value, jnp.float32),
    "iota": _iota,
}
