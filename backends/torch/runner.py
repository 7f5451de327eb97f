"""Runs a program on tensors: forward, forward with saved values, backward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from rnndsl.backends.torch.backends import compile_plan, compile_shared, makes_fresh_memory
from rnndsl.backends.torch.blocks import BlockRun, Gradients
from rnndsl.backends.torch.derivative import ProgramDerivative, differentiate_program
from rnndsl.backends.torch.memory import kept_shapes, memory_plan
from rnndsl.backends.torch.ownership import apart, own
from rnndsl.backends.torch.program import INIT, SequenceProgram
from rnndsl.compiler.forms.choose import AUTO, STEPS
from rnndsl.compiler.ir import Graph, LeafRole
from rnndsl.compiler.pipeline import parse_pipeline, run_pipeline
from rnndsl.compiler.plan import Plan

Tensors = Sequence[Tensor]
Step = Callable[[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensors, ...]]
Shared = Callable[[tuple[Tensor | None, ...], Tensor], Tensors]


@dataclass(frozen=True)
class Trainer:
    """The derivative of a program for one choice of wanted gradients, compiled."""

    derivative: ProgramDerivative
    forward: Step
    backward: Step
    shared: Shared

    @cached_property
    def pulled(self) -> frozenset[str]:
        """The leaves of the shared backward graph that something is computed from."""
        graph = self.derivative.shared
        read = {v for node in graph.nodes for v in node.operands}
        read |= {result.value for result in graph.results}
        return frozenset(leaf.name for value, leaf in enumerate(graph.leaves) if value in read)


class Runner:
    """A program and its functions, each compiled on first use.

    ``twin`` is the runner of the same program without a memory budget: they share functions.
    """

    def __init__(self, program: SequenceProgram, twin: Runner | None = None) -> None:
        self.program = program
        self._twin = twin
        self._derivatives: dict[frozenset[str], ProgramDerivative] = (
            twin._derivatives if twin else {}
        )
        self._trainers: dict[frozenset[str], Trainer] = twin._trainers if twin else {}

    @cached_property
    def prepare(self) -> Shared:
        return self._twin.prepare if self._twin else compile_shared(self.program.prepare)

    @cached_property
    def step(self) -> Step:
        if self._twin:
            return self._twin.step
        return compile_plan(self._step_plan, self.backend)

    @cached_property
    def _step_plan(self) -> Plan:
        return self._twin._step_plan if self._twin else self.program.step_plan()

    @cached_property
    def _prepare_rest(self) -> tuple[Graph, Shared]:
        """What :attr:`prepare` does but for parameters that TVM takes in parts."""
        if self._twin:
            return self._twin._prepare_rest
        joined = {entry.name for entry in self._step_plan.joined}
        graph = self.program.prepare
        kept = tuple(result for result in graph.results if result.name not in joined)
        graph = run_pipeline(replace(graph, results=kept), parse_pipeline("dce"))
        return graph, compile_shared(graph)

    @property
    def backend(self) -> str:
        """Who compiles the plans: forms that are asked for are made of PyTorch operations."""
        return self.program.backend if self.program.form in (AUTO, STEPS) else "torch"

    def derivative(self, needs: Sequence[bool]) -> ProgramDerivative:
        """The derivative for gradients wanted as in :meth:`wanted`; nothing is compiled."""
        wanted = self.wanted(needs)
        if wanted not in self._derivatives:
            self._derivatives[wanted] = differentiate_program(self.program, wanted)
        return self._derivatives[wanted]

    def wanted(self, needs: Sequence[bool]) -> frozenset[str]:
        """Names of inputs and parameters from one flag per input, then per parameter."""
        names = [*self.program.inputs, *self.program.params]
        return frozenset(name for name, need in zip(names, needs, strict=True) if need)

    def _trainer(self, needs: Sequence[bool]) -> Trainer:
        wanted = self.wanted(needs)
        if wanted not in self._trainers:
            found = self.derivative(needs)
            forward = compile_plan(found.forward_plan, self.backend, soon=found.backward_plan)
            backward = compile_plan(found.backward_plan, self.backend)
            shared = compile_shared(found.shared)
            self._trainers[wanted] = Trainer(found, forward, backward, shared)
        return self._trainers[wanted]

    # ----------------------------------------------------------------------------- forward

    def run(self, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
        """Outputs [T, B, *shape], then final states [B, *shape]."""
        values = self._prepared(inputs, params)
        start = self.start(inputs, states, values)
        shared = self._params(self._step_plan, inputs[0], values)
        outputs, finals, _ = self.step(tuple(inputs), start, shared)
        return self._own([*outputs, *finals], [*inputs, *states, *params])

    def run_saving(
        self, inputs: Tensors, states: Tensors, params: Tensors, needs: Sequence[bool]
    ) -> list[Tensor]:
        """As :meth:`run`, then the streams that the backward pass reads."""
        trainer = self._trainer(needs)
        values = self._prepared(inputs, params)
        start = self.start(inputs, states, values)
        parts = self._block_run(trainer, inputs, start, values).run()
        return self._own([t for part in parts for t in part], [*inputs, *states, *params])

    def _own(self, results: list[Tensor], given: list[Tensor]) -> list[Tensor]:
        """The results of a plan, sharing memory with nothing."""
        if makes_fresh_memory(self.backend, given[0]):
            return apart(results)
        return own(results, given)

    def kept_shapes(self, inputs: Tensors, needs: Sequence[bool]) -> list[tuple[int, ...]]:
        """The shapes of what :meth:`run_saving` returns after the final states."""
        return kept_shapes(self.program, self.derivative(needs), inputs)

    def _block_run(
        self,
        trainer: Trainer,
        inputs: Tensors,
        start: tuple[Tensor, ...],
        values: dict[str, Tensor],
    ) -> BlockRun:
        found = trainer.derivative
        shared = self._params(found.forward_plan, inputs[0], values)
        exact = makes_fresh_memory(self.backend, inputs[0])
        # Blocks would take from other forms what they are for: to see the whole sequence.
        plan = memory_plan(self.program, found, inputs, whole=found.formed and not exact)
        return BlockRun(self.program, found, plan, trainer.forward, inputs, start, shared, exact)

    def prepared(self, inputs: Tensors, params: Tensors) -> dict[str, Tensor]:
        """Parameters and all that depends on them alone, by name."""
        values = dict(zip(self.program.params, params, strict=True))
        return self._with_made(values, self.program.prepare, self.prepare, inputs[0])

    def _prepared(self, inputs: Tensors, params: Tensors) -> dict[str, Tensor]:
        """The same without what TVM has no need of, where TVM runs the plans."""
        if not makes_fresh_memory(self.backend, inputs[0]):
            return self.prepared(inputs, params)
        values = dict(zip(self.program.params, params, strict=True))
        return self._with_made(values, *self._prepare_rest, inputs[0])

    def _with_made(
        self, values: dict[str, Tensor], graph: Graph, prepare: Shared, like: Tensor
    ) -> dict[str, Tensor]:
        made = prepare(tuple([values[leaf.name] for leaf in graph.leaves]), like)
        for result, value in zip(graph.results, made, strict=True):
            values[result.name] = value
        return values

    def _params(self, plan: Plan, like: Tensor, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What a plan takes as parameters, by who runs it."""
        in_parts = makes_fresh_memory(self.backend, like)
        return tuple([values[name] for name in (plan.parts if in_parts else plan.params)])

    def start(
        self, inputs: Tensors, states: Tensors, values: Mapping[str, Tensor]
    ) -> tuple[Tensor, ...]:
        """The states before the first step: the given ones, or the declared ones."""
        if states:
            return tuple(states)
        batch = inputs[0].shape[1]
        return tuple(
            [values[name].expand(batch, *sizes) for name, sizes in self._state_sizes.items()]
        )

    def step_params(self, like: Tensor, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What :attr:`step` takes as parameters, from what :meth:`prepared` returns."""
        return self._params(self._step_plan, like, values)

    @cached_property
    def _made_sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each value of the prepare graph, by the name of its gradient."""
        graph = self.program.prepare
        return {f"d.{r.name}": graph.type_of(r.value).sizes for r in graph.results}

    @cached_property
    def _output_sizes(self) -> dict[str, tuple[int, ...]]:
        """The own shape of each output, by the name of its gradient."""
        return {f"d.{name}": kind.sizes for name, kind in self.program.outputs.items()}

    @cached_property
    def _state_sizes(self) -> dict[str, tuple[int, ...]]:
        """The own shape of each state by the name of its declared first value."""
        return {f"{INIT}{name}": kind.sizes for name, kind in self.program.states.items()}

    # ---------------------------------------------------------------------------- backward

    def run_backward(
        self,
        inputs: Tensors,
        states: Tensors,
        params: Tensors,
        needs: Sequence[bool],
        kept: Tensors,
        cotangents: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Gradients of the wanted inputs, of given states, of the wanted parameters.

        ``kept`` are the outputs of :meth:`run_saving` and what it saved, without the final
        states; ``cotangents`` belong to its outputs and final states, None standing for zero.
        """
        trainer = self._trainer(needs)
        values = self._prepared(inputs, params)
        start = self.start(inputs, states, values)
        count = len(self.program.outputs)
        carried = [
            _or_zero(given, inputs[0], (inputs[0].shape[1], *kind.sizes))
            for kind, given in zip(self.program.states.values(), cotangents[count:], strict=True)
        ]
        run = self._block_run(trainer, inputs, start, values)
        back = partial(self._back, trainer, values, run.plan.block if run.exact else 0)
        d_inputs, d_states, d_params = run.back(kept, cotangents[:count], carried, back)
        found = trainer.derivative
        by_input = dict(zip(found.output_gradients, d_inputs, strict=True))
        by_state = {f"d.{n}": d for n, d in zip(self.program.states, d_states, strict=True)}
        by_param = dict(zip(found.sum_gradients, d_params, strict=True))
        if not states:
            starts = ((f"d.{INIT}{name[2:]}", d) for name, d in by_state.items())
            by_param |= {name: d.sum(0) for name, d in starts if name in trainer.pulled}
        self._pull_shared(trainer, by_param, values, inputs[0])
        wanted = self.wanted(needs)
        gradients = [
            _or_zero(by_input.get(f"d.{name}"), inputs[0], tensor.shape)
            for name, tensor in zip(self.program.inputs, inputs, strict=True)
            if name in wanted
        ]
        if states:
            gradients += [by_state[f"d.{name}"] for name in self.program.states]
        gradients += [
            _or_zero(by_param.get(f"d.{name}"), inputs[0], tensor.shape)
            for name, tensor in zip(self.program.params, params, strict=True)
            if name in wanted
        ]
        given = [*inputs, *states, *params, *kept, *_present(cotangents)]
        return own(gradients, given, d_params)

    def _back(
        self,
        trainer: Trainer,
        values: dict[str, Tensor],
        block: int,
        inputs: Tensors,
        start: Tensors,
        kept: Tensors,
        cotangents: Sequence[Tensor | None],
        carried: Tensors,
        sums: Tensors,
    ) -> Gradients:
        """Back through a sequence or a block of it; ``carried`` are the cotangents of the
        states after it, and come back as those of the states before it.  Plans that go block
        by block by themselves are told the steps of a ``block``, and add to ``sums``."""
        streams = self._streams(trainer.derivative, inputs, start, kept, cotangents)
        backward = trainer.derivative.backward
        ends = {f"d.{name}": d for name, d in zip(self.program.states, carried, strict=True)}
        arguments = (
            tuple(streams[leaf.name] for leaf in backward.leaves_of(LeafRole.INPUT)),
            tuple(ends[leaf.name] for leaf in backward.leaves_of(LeafRole.STATE)),
            self._params(trainer.derivative.backward_plan, inputs[0], values),
        )
        told = (block, tuple(sums)) if block else ()
        outputs, states, found = trainer.backward(*arguments, *told)
        by_name = dict(zip(trainer.derivative.state_gradients, states, strict=True))
        return outputs, [by_name[f"d.{name}"] for name in self.program.states], found

    def _streams(
        self,
        derivative: ProgramDerivative,
        inputs: Tensors,
        start: Tensors,
        kept: Tensors,
        cotangents: Sequence[Tensor | None],
    ) -> dict[str, Tensor]:
        """The backward graph's input streams by name."""
        count = len(self.program.outputs)
        groups = {"input": inputs, "output": kept[:count], "saved": kept[count:]}
        lead = inputs[0].shape[:2]
        streams = dict(zip(self.program.inputs, inputs, strict=True))
        for name, place in derivative.places.items():
            streams[name] = groups[place.group][place.index]
        for name, first in zip(self.program.states, start, strict=True):
            if f"next.{name}" in derivative.places:
                streams[f"prev.{name}"] = self._delayed(streams[f"next.{name}"], first)
        for (name, sizes), given in zip(self._output_sizes.items(), cotangents, strict=False):
            streams[name] = _or_zero(given, inputs[0], (*lead, *sizes))
        return streams

    def _delayed(self, stream: Tensor, first: Tensor) -> Tensor:
        """A state before each step, from the state after each step."""
        if self.program.reverse:
            return torch.cat([stream[1:], first.unsqueeze(0)])
        return torch.cat([first.unsqueeze(0), stream[:-1]])

    def _pull_shared(
        self, trainer: Trainer, by_param: dict[str, Tensor], values: dict[str, Tensor], like: Tensor
    ) -> None:
        """Add to ``by_param`` what flows back through derived parameters and initial states."""
        graph = trainer.derivative.shared
        sizes = self._made_sizes
        leaves = tuple(
            _or_zero(by_param.get(leaf.name), like, sizes[leaf.name])
            if leaf.name in sizes and leaf.name in trainer.pulled
            else values.get(leaf.name)
            for leaf in graph.leaves
        )
        for result, gradient in zip(graph.results, trainer.shared(leaves, like), strict=True):
            before = by_param.get(result.name)
            by_param[result.name] = gradient if before is None else before + gradient


def _or_zero(tensor: Tensor | None, like: Tensor, shape: Sequence[int]) -> Tensor:
    return like.new_zeros(()).expand(tuple(shape)) if tensor is None else tensor


def _present(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor is not None]
