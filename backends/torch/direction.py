"""One layer in one direction: the parameters of a cell, and the call of its program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from rnndsl.backends.errors_torch import NonFinite
from rnndsl.backends.torch import operators
from rnndsl.backends.torch.arguments import tensor_of
from rnndsl.backends.torch.calls import (
    Request,
    base_graph,
    extended,
    program_call,
    requested,
)
from rnndsl.backends.torch.finite import first_nonfinite
from rnndsl.backends.torch.parameters import next_seed, parameter_paths, register
from rnndsl.backends.torch.program import CHEAP, DEFAULT
from rnndsl.backends.torch.programs import find_runner
from rnndsl.compiler.forms.choose import AUTO
from rnndsl.compiler.initializers import initialize, param_shape
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.lower import Lowered
from rnndsl.compiler.memory import MemoryPlan
from rnndsl.compiler.ops import graph_flops
from rnndsl.compiler.text import print_graph


class Direction(nn.Module):
    """A cell of fixed sizes, run from the first time step to the last, or the other way."""

    def __init__(
        self,
        bound: Lowered,
        sizes: Mapping[str, int],
        reverse: bool,
        backend: str,
        dtype: torch.dtype,
        device: torch.device | str | None,
        memory_budget: int | None = None,
        form: str = AUTO,
        passes: str = DEFAULT,
        recompute: str = CHEAP,
    ) -> None:
        super().__init__()
        text = print_graph(bound.graph, spans=True)
        self.request = Request(text, reverse, backend, memory_budget, form, passes, recompute)
        self.sizes = dict(sizes)
        self.specs = bound.params
        self._first_name = [spec.name for spec in self.specs[:1]]
        self.state_count = len(bound.graph.leaves_of(LeafRole.STATE))
        # For cells without parameters it alone tells the dtype and the device.
        self.register_buffer("placeholder", torch.empty(0, dtype=dtype, device=device), False)
        self.paths: dict[str, tuple[str, ...]] = {}
        self.paths = parameter_paths([spec.name for spec in self.specs], dir(self))
        self._places = {name: (path[:-1], path[-1]) for name, path in self.paths.items()}
        for spec in self.specs:
            value = torch.empty(param_shape(spec, sizes), dtype=dtype, device=device)
            register(self, self.paths[spec.name], value, spec.trainable)
        self.reset_parameters()

    @property
    def graph(self) -> Graph:
        """The bound step graph."""
        return base_graph(self.request.text)

    @property
    def reverse(self) -> bool:
        """Whether it runs from the last time step to the first."""
        return self.request.reverse

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of one example's output."""
        graph = self.graph
        return graph.type_of(graph.results_of(ResultRole.OUTPUT)[0].value).sizes

    def flops_per_step(self) -> int:
        """Floating-point operations of one example's time step, forward."""
        return graph_flops(requested(self.request).step)

    def memory_plan(self, steps: int, batch: int) -> MemoryPlan:
        """How a sequence is trained: its blocks, what is held of them and what is run again."""
        handle, names = program_call(self.request, portable=False)
        runner = find_runner(handle)
        count = len(runner.program.inputs)
        trained = [self.tensor(name).requires_grad for name in names]
        like = self.like().new_empty((steps, batch), device="meta")
        return runner.memory_plan(like, [True] * count + trained)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from torch's default generator."""
        seed = next_seed()
        if seed is None or any(tensor.is_meta for tensor in self.tensors()):
            return
        with torch.no_grad():
            for name, value in initialize(self.specs, self.sizes, seed).items():
                self.tensor(name).copy_(torch.tensor(value, device="cpu"))

    def tensors(self) -> Iterator[Tensor]:
        """All parameters, frozen ones too, in order of declaration."""
        return (self.tensor(spec.name) for spec in self.specs)

    def like(self) -> Tensor:
        """A tensor with the dtype and device that the layer computes in."""
        found = self.tensors_of(self._first_name)[0] if self._first_name else self.placeholder
        assert isinstance(found, Tensor)
        return found

    def tensor(self, name: str) -> Tensor:
        """The parameter of that name in the cell; LayerInputError if that is no tensor now."""
        found: Tensor | nn.Module = self
        for part in self.paths[name]:
            found = getattr(found, part)
        return tensor_of(f"parameter `{name}`", found)

    def tensors_of(self, names: Sequence[str]) -> list[Tensor]:
        """The parameters of these names."""
        if torch.compiler.is_compiling():
            return [self.tensor(name) for name in names]
        return [
            self.tensor(name) if found is None else found
            for name, found in zip(names, self._stored(names), strict=True)
        ]

    def _stored(self, names: Sequence[str]) -> list[Tensor | None]:
        """The parameters of these names that modules hold; None for those that parametrizations
        make."""
        found = []
        for name in names:
            groups, key = self._places[name]
            owner: Any = self
            for group in groups:  # past `__getattr__`, which takes most of the time otherwise
                owner = owner._modules[group]
            held = owner._parameters.get(key)
            found.append(owner._buffers.get(key) if held is None else held)
        return found

    def first_nonfinite(
        self,
        inputs: Sequence[Tensor],
        states: Sequence[Tensor],
        resets: bool,
        lengths: bool,
        valid: Tensor | None,
        label: str,
    ) -> NonFinite | None:
        """Where the first NaN or infinity of a call arises; arguments as for the call."""
        graph = extended(self.graph, resets, lengths)
        params = {spec.name: self.tensor(spec.name).detach() for spec in self.specs}
        return first_nonfinite(graph, params, inputs, states, valid, self.reverse, label)

    def again(self, x: Tensor, states: list[Tensor]) -> list[Tensor] | None:
        """Outputs, then final states [1, B, *shape], of a call on one input and such states that
        is like an earlier one; None where it is not, or where somebody would see it."""
        ahead = self._forward_hooks or self._forward_pre_hooks or "forward" in self.__dict__
        back = self._backward_hooks or self._backward_pre_hooks
        if ahead or back or _has_any_global_hook():  # type: ignore[no-untyped-call]
            return None
        program, names = program_call(self.request, portable=False)
        held = self._stored(names)
        params = [tensor for tensor in held if tensor is not None]
        if len(params) < len(held):  # what makes the others should do that once in a call
            return None
        return operators.call_again(program, [x], states, params, led=True)

    def forward(
        self,
        inputs: Sequence[Tensor],
        states: Sequence[Tensor],
        taps: tuple[str, ...] = (),
        resets: bool = False,
        lengths: bool = False,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs [T, B, *shape] (the cell's, then the taps), and final states [B, *shape].

        ``inputs`` are the cell's inputs, then the reset flags and the validity flags where
        those are asked for; ``states`` may be empty.
        """
        portable = torch.compiler.is_compiling()
        program, names = program_call(self.request, portable, taps, resets, lengths)
        params = self.tensors_of(names)
        results = operators.call(program, list(inputs), list(states), params)
        count = len(results) - self.state_count
        return results[:count], results[count:]
