"""Recurrent layers: how training makes and calls anything that follows nn.LSTM's convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor, nn

import rnndsl
from rnndsl.training.config import TrainConfig
from rnndsl.training.states import State

if TYPE_CHECKING:
    from rnndsl.cell import Cell

# (input size, hidden size) -> a module called as ``y, state = layer(x, state)``.
LayerFactory: TypeAlias = "Callable[[int, int], nn.Module]"


def cell_layers(cell: str | Cell, config: TrainConfig) -> LayerFactory:
    """The factory of layers of ``cell``, compiled by the backend that ``config`` names."""
    options: dict[str, Any] = dict(config.numbers)

    def make(input_size: int, hidden_size: int) -> nn.Module:
        made: nn.Module = rnndsl.layer(
            cell,
            input_size=input_size,
            hidden_size=hidden_size,
            backend=config.backend,
            form=config.form,
            **options,
        )
        return made

    return make


def output_size(layer: nn.Module, hidden_size: int) -> int:
    """The size of the layer's output: its own ``output_size``, a projection's, or H."""
    size = getattr(layer, "output_size", None) or getattr(layer, "proj_size", None)
    return int(size) if size else hidden_size


def stream_layer(layer: nn.Module, batch: int) -> Callable[[Tensor], Tensor]:
    """A function of one time step, [B, D] to [B, H], that carries its own state.

    Layers of ours read their weights now; others are called on sequences of one.
    """
    if hasattr(layer, "stream"):
        made: Callable[[Tensor], Tensor] = layer.stream(batch)  # type: ignore[operator]
        return made
    state: State = None

    def step(x: Tensor) -> Tensor:
        nonlocal state
        y, state = step_layer(layer, x, state)
        return y

    return step


def step_layer(layer: nn.Module, x: Tensor, state: State) -> tuple[Tensor, State]:
    """One time step: ``x`` [B, D] to [B, H]; a layer without ``step`` reads a sequence of one."""
    if hasattr(layer, "step"):
        y, after = layer.step(x, state)  # type: ignore[operator]
        return y, after
    y, after = layer(x.unsqueeze(0), state)
    return y.squeeze(0), after
