"""A problem: a cell with sizes, weights and data, given alike to all who are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import rnndsl
from rnndsl.backends.torch.module import Layer
from rnndsl.backends.torch.program import SequenceProgram, make_program
from rnndsl.bench.cases import Shape
from rnndsl.cell import Cell

SEED = 0
Options = Mapping[str, str]  # of our layers: form, passes


@dataclass(frozen=True, eq=False)
class Problem:
    """``layer`` is ours on PyTorch and holds the weights; ``params`` are its tensors by the
    cell's names.  ``inputs`` are streams [T, B, *shape]; ``cotangent`` is as the output: the
    gradients of a training step are those of the sum of their product."""

    cell: Cell
    shape: Shape
    mode: str
    numbers: Mapping[str, int | float]
    layer: Layer
    program: SequenceProgram
    inputs: dict[str, Tensor]
    cotangent: Tensor
    source: str = ""  # the cell as the command named it
    options: Options = field(default_factory=dict)
    _steps: list[dict[str, Tensor]] = field(default_factory=list)

    @property
    def params(self) -> dict[str, Tensor]:
        first = self.layer.first
        return {spec.name: first.tensor(spec.name) for spec in first.specs}

    @property
    def trained(self) -> dict[str, Tensor]:
        """The parameters that take gradients."""
        return {name: p for name, p in self.params.items() if p.requires_grad}

    @property
    def steps(self) -> list[dict[str, Tensor]]:
        """The inputs of each time step, [B, *shape], made once."""
        if not self._steps:
            streams = {name: x.detach().unbind() for name, x in self.inputs.items()}
            for time in range(self.shape.steps):
                self._steps.append({name: xs[time] for name, xs in streams.items()})
        return self._steps

    def __str__(self) -> str:
        return f"{self.cell.name} at {self.shape}, {self.mode}"


def make_problem(
    cell: Cell,
    shape: Shape,
    mode: str,
    numbers: Mapping[str, int | float],
    source: str = "",
    options: Options | None = None,
) -> Problem:
    """Weights and data drawn from a fixed seed; RnndslError if the sizes do not fit the cell,
    or the options of our layers are none."""
    chosen = options or {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        layer = make_layer(cell, shape, numbers, "torch", chosen)
        graph = layer.first.graph
        program = make_program(graph)
        lead = (shape.steps, shape.batch)
        inputs = {
            name: torch.randn(*lead, *kind.sizes).requires_grad_(mode == "train")
            for name, kind in program.inputs.items()
        }
        cotangent = torch.randn(*lead, *layer.first.output_shape)
    source = source or cell.name
    return Problem(
        cell, shape, mode, numbers, layer, program, inputs, cotangent, source, options=chosen
    )


def make_layer(
    cell: Cell,
    shape: Shape,
    numbers: Mapping[str, int | float],
    backend: str,
    options: Options,
) -> Layer:
    """A float32 layer of ours at these sizes; one of the cell's dimensions may be left out."""
    names = {p.name for p in cell.definition.parameters if p.default is None} - set(numbers)
    hidden = shape.hidden if len(names) > 1 or "H" in names else None
    sizes: dict[str, Any] = {**numbers, **options}
    made = rnndsl.layer(cell, shape.input, hidden, dtype=torch.float32, backend=backend, **sizes)
    assert isinstance(made, Layer)
    return made
