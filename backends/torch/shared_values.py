"""What is the same for all time steps: parameters, what is made of them, first states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from rnndsl.backends.torch.backends import compile_shared
from rnndsl.backends.torch.picking import Pick, pick
from rnndsl.backends.torch.program import INIT, SequenceProgram
from rnndsl.compiler.ir import Node
from rnndsl.compiler.joined import joined_params
from rnndsl.compiler.pipeline import parse_pipeline, run_pipeline

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class SharedValues:
    """The values of a program that are shared by all steps and examples, in order of ``names``.

    The first ones are the parameters, the others are made of them.  ``starts`` tells for each
    state the place of its declared first value, or the number that stands everywhere in it,
    and ``state_sizes`` its own shape.
    """

    names: tuple[str, ...]
    starts: tuple[int | float, ...]
    state_sizes: tuple[tuple[int, ...], ...]
    _make: Callable[..., Tensors] | None
    _leaves: Pick

    def values(self, params: Tensors, like: Tensor) -> tuple[Tensor, ...]:
        """The values [*shape], from parameters in the program's order."""
        if self._make is None:
            return tuple(params)
        return (*params, *self._make(self._leaves(params), like))

    @property
    def starts_with_numbers(self) -> bool:
        """Whether the states before the first step depend on no parameter."""
        return not any(isinstance(start, int) for start in self.starts)

    def start(self, values: Tensors, like: Tensor) -> tuple[Tensor, ...]:
        """The declared states before the first step, [B, *shape], of streams like that."""
        batch = like.shape[1]
        return tuple(
            [
                values[start].expand(batch, *sizes)
                if isinstance(start, int)
                else like.new_full((batch, *sizes), start)
                for start, sizes in zip(self.starts, self.state_sizes, strict=True)
            ]
        )

    def pick(self, names: Sequence[str]) -> Pick:
        """A function of the values that returns those of these names."""
        places = {name: place for place, name in enumerate(self.names)}
        return pick([places[name] for name in names])


def shared_values(program: SequenceProgram, in_parts: bool) -> SharedValues:
    """The shared values of a program, without joined parameters if these are taken
    ``in_parts``."""
    graph = program.prepare
    numbers: dict[str, float] = {}
    for result in graph.results:
        node = graph.definition(result.value)
        if result.name.startswith(INIT) and isinstance(node, Node) and node.op == "full":
            value = node.attr("value")
            assert isinstance(value, int | float)
            numbers[result.name] = float(value)
    left_out = {entry.name for entry in joined_params(graph)} if in_parts else set()
    left_out |= numbers.keys()
    made = tuple(result for result in graph.results if result.name not in left_out)
    names = (*program.params, *(result.name for result in made))
    starts = [f"{INIT}{name}" for name in program.states]
    kept = run_pipeline(replace(graph, results=made), parse_pipeline("dce"))
    params = list(program.params)
    return SharedValues(
        names,
        tuple(numbers[name] if name in numbers else names.index(name) for name in starts),
        tuple(kind.sizes for kind in program.states.values()),
        compile_shared(kept, "tvm" if in_parts else "torch") if made else None,
        pick([params.index(leaf.name) for leaf in kept.leaves]),
    )
