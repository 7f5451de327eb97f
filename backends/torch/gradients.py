"""``rnndsl.gradcheck``: a cell's compiled gradients against central differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnndsl.backends.torch.build import layer
from rnndsl.backends.torch.module import Layer
from rnndsl.cell import Cell, load
from rnndsl.compiler.lower import lower

_DEFAULT_SIZES = {"D": 3, "H": 4}


@dataclass(frozen=True, slots=True)
class GradientReport:
    """``errors`` gives for each input, initial state and parameter the largest difference
    between the two gradients, relative to the larger one of the two or to 1.  ``stops`` says
    whether the cell stops gradients, so that the two differ by design."""

    errors: dict[str, float]
    tolerance: float
    stops: bool = False

    @property
    def ok(self) -> bool:
        return all(error <= self.tolerance for error in self.errors.values())

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        width = max(map(len, self.errors), default=0)
        lines = [
            f"{name:{width}}  {error:.1e}{'' if error <= self.tolerance else '  <- too far'}"
            for name, error in self.errors.items()
        ]
        if self.stops and not self.ok:
            lines.append("the cell has `ste` or `stop_grad`: gradients differ there by design")
        return "\n".join(lines)


def gradcheck(
    cell: str | Path | Cell,
    sizes: Mapping[str, int | float] | None = None,
    *,
    steps: int = 3,
    batch: int = 2,
    seed: int = 0,
    samples: int = 6,
    difference: float = 1e-5,
    tolerance: float = 1e-6,
) -> GradientReport:
    """Compare a cell's gradients with central differences, in float64.

    Args:
        cell: a name, a path or a Cell.
        sizes: its dimensions and numbers; D is 3, H is 4 and any other dimension 2 by default.
        steps, batch: T and B of the random sequence; ``seed`` draws all numbers.
        samples: elements of each tensor that are compared one by one, besides one random
            direction of the whole tensor.
        difference: how far an element is moved to either side.
        tolerance: the largest error with which the report counts as good.

    The gradients of `ste` and `stop_grad` differ from the true slope by design; the report says so.
    """
    found = cell if isinstance(cell, Cell) else load(cell)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = layer(found, dtype=torch.float64, **_all_sizes(found, sizes or {}))
    draw = _Draw(generator)
    first, inputs = (
        {n: draw.normal(steps, batch, *t.sizes) for n, t in made.input_types.items()}
        for _ in range(2)
    )
    with torch.no_grad():  # states that the cell reaches: random ones may make no sense to it
        start = tuple(state.clone() for state in _call(made, first, None)[1])
    tensors = {f"input {n}": t for n, t in inputs.items()}
    tensors |= {f"state {n}": t for n, t in zip(made.state_types, start, strict=True)}
    tensors |= dict(made.first.named_parameters())
    weights = [draw.normal(*t.shape) for t in _results(made, inputs, start)]

    def loss() -> Tensor:
        results = _results(made, inputs, start)
        return torch.stack([(w * t).sum() for w, t in zip(weights, results, strict=True)]).sum()

    for tensor in tensors.values():
        tensor.requires_grad_(True)
    wanted = list(tensors.values())
    gradients = torch.autograd.grad(loss(), wanted, allow_unused=True)
    errors = {}
    for (name, tensor), gradient in zip(tensors.items(), gradients, strict=True):
        exact = torch.zeros_like(tensor) if gradient is None else gradient
        errors[name] = _largest_error(loss, tensor, exact, draw, samples, difference)
    return GradientReport(errors, tolerance, _stops(found))


def _stops(cell: Cell) -> bool:
    """Whether some value of the cell stops gradients."""
    return any(node.op == "stop_grad" for node in lower(cell).graph.nodes)


@dataclass(frozen=True, slots=True)
class _Draw:
    generator: torch.Generator

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=self.generator)

    def index(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.generator))


def _all_sizes(cell: Cell, given: Mapping[str, int | float]) -> dict[str, Any]:
    dims = [p.name for p in cell.definition.parameters if p.default is None]
    return {name: _DEFAULT_SIZES.get(name, 2) for name in dims} | dict(given)


def _call(
    made: Layer, inputs: Mapping[str, Tensor], states: tuple[Tensor, ...] | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    x, *rest = inputs.values()
    extra = dict(zip(list(inputs)[1:], rest, strict=True))
    y, after = made(x, states, **extra)
    return y, (after,) if isinstance(after, Tensor) else tuple(after)


def _results(
    made: Layer, inputs: Mapping[str, Tensor], states: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    y, after = _call(made, inputs, states)
    return (y, *after)


def _largest_error(
    loss: Callable[[], Tensor],
    tensor: Tensor,
    gradient: Tensor,
    draw: _Draw,
    samples: int,
    difference: float,
) -> float:
    directions = [draw.normal(*tensor.shape)]
    count = tensor.numel()
    for index in {draw.index(count) for _ in range(samples)}:
        direction = torch.zeros(count, dtype=torch.float64)
        direction[index] = 1
        directions.append(direction.reshape(tensor.shape))
    worst = 0.0
    for direction in directions:
        expected = _slope(loss, tensor, direction, difference)
        found = float((gradient * direction).sum())
        worst = max(worst, abs(found - expected) / max(abs(found), abs(expected), 1.0))
    return worst


def _slope(
    loss: Callable[[], Tensor], tensor: Tensor, direction: Tensor, difference: float
) -> float:
    """Central difference of the loss along a direction, of fourth order."""
    with torch.no_grad():
        before = tensor.clone()
        values = []
        for distance in (2, 1, -1, -2):
            tensor.copy_(before + distance * difference * direction)
            values.append(float(loss()))
        tensor.copy_(before)
    far, near = values[0] - values[3], values[1] - values[2]
    return (8 * near - far) / (12 * difference)
