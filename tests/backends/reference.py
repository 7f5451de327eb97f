"""What a layer must compute: the float64 interpreter on the layer's own parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rnndsl.backends.torch import Layer
from rnndsl.compiler.interpreter import RunResult, run, run_shared
from rnndsl.compiler.separate import separate


def interpret(
    layer: Layer, inputs: Mapping[str, Tensor], states: Mapping[str, Tensor] | None = None
) -> RunResult:
    """One layer in one direction, from given states [B, *shape] or the declared ones."""
    direction = layer.first
    program = separate(direction.graph)
    params = {s.name: direction.tensor(s.name).detach().double().numpy() for s in direction.specs}
    shared = params | run_shared(program.prepare, params)
    batch = next(iter(inputs.values())).shape[1]
    if states is None:
        start = {
            name: np.broadcast_to(shared[f"init.{name}"], (batch, *kind.sizes))
            for name, kind in layer.state_types.items()
        }
    else:
        start = {name: state.detach().double().numpy() for name, state in states.items()}
    streams = {name: x.detach().double().numpy() for name, x in inputs.items()}
    return run(program.step, streams, start, shared)


def random_inputs(
    layer: Layer, steps: int, batch: int, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Normal draws for all inputs of a layer, [T, B, *shape]."""
    return {
        name: torch.randn(steps, batch, *kind.sizes, dtype=dtype)
        for name, kind in layer.input_types.items()
    }


def call(layer: Layer, inputs: Mapping[str, Tensor], state: object = None) -> tuple[Tensor, ...]:
    """The output, then the states."""
    x, *rest = inputs.values()
    extra = dict(zip(list(inputs)[1:], rest, strict=True))
    y, after = layer(x, state, **extra)
    return (y, after) if isinstance(after, Tensor) else (y, *after)
