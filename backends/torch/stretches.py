"""Parts of the time axis that one runner takes: steps, or blocks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import pad

from rnndsl.backends.torch.runner import Runner

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class Stretch:
    """Time steps from ``start`` to ``stop`` and who runs them; ``order`` are the places of the
    runner's parameters among the program's."""

    runner: Runner
    start: int
    stop: int
    order: Sequence[int]

    def cut(self, stream: Tensor) -> Tensor:
        """A stream [T, B, *shape] as the runner takes it."""
        return stream[self.start : self.stop]

    def uncut(self, made: Tensor) -> Tensor:
        """A stream of the runner as that of these steps, [stop - start, B, *shape]."""
        return made

    def inputs(self, inputs: Tensors) -> list[Tensor]:
        return [self.cut(x) for x in inputs]

    def given(self, params: Tensors) -> list[Tensor]:
        return [params[k] for k in self.order]

    def needs(self, needs: Sequence[bool]) -> list[bool]:
        """Which gradients the runner makes, from one flag per input, then per parameter."""
        count = len(needs) - len(self.order)
        added = len(self.runner.program.inputs) - count
        return [*needs[:count], *[False] * added, *(needs[count + k] for k in self.order)]


@dataclass(frozen=True)
class BlockStretch(Stretch):
    """Whole blocks of ``length`` steps.  Steps that are missing from the last one, in the
    direction of time, are padding: they have the input ``.valid``, and it is 0 there."""

    length: int

    def cut(self, stream: Tensor) -> Tensor:
        """[n * L, B, *shape] as [n, B, L, *shape]; within a block, in the direction of time."""
        stream = super().cut(stream)
        missing = -len(stream) % self.length
        reverse = self.runner.program.reverse
        if missing:
            ends = (missing, 0) if reverse else (0, missing)
            stream = pad(stream, (*[0, 0] * (stream.dim() - 1), *ends))
        blocks = stream.reshape(-1, self.length, *stream.shape[1:])
        if reverse:
            blocks = blocks.flip(1)
        return blocks.transpose(1, 2)

    def uncut(self, made: Tensor) -> Tensor:
        stream, steps = made.transpose(1, 2), self.stop - self.start
        if self.runner.program.reverse:
            stream = stream.flip(1).flatten(0, 1)
            return stream[len(stream) - steps :]
        return stream.flatten(0, 1)[:steps]

    def inputs(self, inputs: Tensors) -> list[Tensor]:
        found = super().inputs(inputs)
        if len(self.runner.program.inputs) > len(inputs):
            found.append(self.cut(inputs[0].new_ones(inputs[0].shape[:2])))
        return found
