"""How much work a problem is: operations by the graph's cost column, and bytes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rnndsl.backends.torch.derivative import differentiate_program
from rnndsl.bench.problem import Problem
from rnndsl.compiler.ops import graph_flops


@dataclass(frozen=True, slots=True)
class Work:
    """Floating-point operations of one call (one step when streaming), and the bytes that
    have to come from memory or go there once: inputs, parameters, results."""

    flops: int
    bytes: int


def work_of(problem: Problem) -> Work:
    """The work of one call; what depends on parameters alone counts once."""
    program, shape = problem.program, problem.shape
    examples = shape.batch * (1 if problem.mode == "stream" else shape.steps)
    flops = graph_flops(program.step) * examples
    if problem.mode != "stream":
        flops += graph_flops(program.prepare)
    if problem.mode == "train":
        wanted = frozenset([*problem.inputs, *problem.trained])
        derivative = differentiate_program(program, wanted)
        flops += graph_flops(derivative.backward) * examples + graph_flops(derivative.shared)
    return Work(flops, _bytes(problem))


def _bytes(problem: Problem) -> int:
    shape = problem.shape
    steps = shape.steps if problem.mode == "stream" else 1
    streams = sum(map(_size, problem.inputs.values())) + _size(problem.cotangent)
    params = sum(map(_size, problem.params.values()))
    states = 4 * shape.batch * sum(_elements(k.sizes) for k in problem.program.states.values())
    if problem.mode == "train":  # inputs, outputs and parameters, and the gradient of each
        return 2 * (streams + params) + states
    return streams // steps + params + 2 * states


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _elements(sizes: tuple[int, ...]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count
