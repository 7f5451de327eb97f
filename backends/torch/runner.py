"""Runs a program on tensors: forward, forward with saved values, backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

from torch import Tensor

from rnndsl.backends.torch.automatic import resolve
from rnndsl.backends.torch.backends import compile_plan
from rnndsl.backends.torch.blocks import BlockRun
from rnndsl.backends.torch.derivative import ProgramDerivative, differentiate_program
from rnndsl.backends.torch.memory import kept_shapes, memory_plan
from rnndsl.backends.torch.ownership import apart, own
from rnndsl.backends.torch.program import SequenceProgram
from rnndsl.backends.torch.repeats import Repeat, Repeats, TrainingRepeat
from rnndsl.backends.torch.shared_values import SharedValues, shared_values
from rnndsl.backends.torch.trainer import (
    Engine,
    Forward,
    Trainer,
    begin,
    go_back,
    make_trainer,
    owned_gradients,
)
from rnndsl.backends.torch.with_tvm import TvmStep
from rnndsl.compiler.forms.choose import AUTO, STEPS
from rnndsl.compiler.memory import MemoryPlan
from rnndsl.compiler.plan import Plan

Tensors = Sequence[Tensor]


class Runner:
    """A program and its functions, each compiled on first use.

    ``twin`` is the runner of the same program without a memory budget: they share functions.
    """

    def __init__(self, program: SequenceProgram, twin: Runner | None = None) -> None:
        self.program = program
        self._twin = twin
        self._engines: dict[str, Engine] = twin._engines if twin else {}
        self._forwards: dict[str, Forward] = twin._forwards if twin else {}
        self._repeats: Repeats[Repeat] = twin._repeats if twin else Repeats()
        self._training_repeats = Repeats[TrainingRepeat]()  # under this budget
        self._derivatives: dict[frozenset[str], ProgramDerivative] = (
            twin._derivatives if twin else {}
        )
        self._trainers: dict[tuple[str | bool, ...], Trainer] = twin._trainers if twin else {}

    def forward(self, like: Tensor) -> Forward:
        """What runs the step plan on such tensors."""
        engine = self._engine(like)
        found = self._forwards.get(engine.backend)
        if found is None:
            plan = self._step_plan
            made = Forward(engine, compile_plan(plan, engine.backend), engine.params(plan))
            # Threads that call for the first time at once share one, which compiles only once.
            found = self._forwards.setdefault(engine.backend, made)
        return found

    @cached_property
    def _step_plan(self) -> Plan:
        return self._twin._step_plan if self._twin else self.program.step_plan()

    @cached_property
    def backend(self) -> str:
        """Who compiles the plans: forms that are asked for are made of PyTorch operations."""
        return self.program.backend if self.program.form in (AUTO, STEPS) else "torch"

    def _engine(self, like: Tensor) -> Engine:
        """Who runs the plans on such tensors."""
        name = resolve(self.backend, like)
        if name not in self._engines:
            exact = name == "tvm"
            shared = shared_values(self.program, in_parts=True) if exact else self._shared
            self._engines[name] = Engine(name, shared)
        return self._engines[name]

    @cached_property
    def _shared(self) -> SharedValues:
        """The shared values, the joined ones too."""
        return self._twin._shared if self._twin else shared_values(self.program, in_parts=False)

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

    def _trainer(self, needs: Sequence[bool], like: Tensor) -> Trainer:
        engine = self._engine(like)
        key: tuple[str | bool, ...] = (engine.backend, *needs)
        if key not in self._trainers:
            found, wanted = self.derivative(needs), self.wanted(needs)
            self._trainers[key] = make_trainer(self.program, engine, found, wanted)
        return self._trainers[key]

    # ----------------------------------------------------------------------------- forward

    def run(self, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
        """Outputs [T, B, *shape], then final states [B, *shape]."""
        forward = self.forward(inputs[0])
        engine = forward.engine
        values = engine.shared.values(params, inputs[0])
        start = tuple(states or engine.start(values, inputs[0]))
        outputs, finals, _ = forward.step(tuple(inputs), start, forward.params(values))
        return _apart(engine, [*outputs, *finals], [*inputs, *states, *params])

    def remember(self, inputs: Tensors, states: Tensors, params: Tensors) -> None:
        """That :meth:`run` went well with these tensors, for :meth:`repeat`."""
        forward = self.forward(inputs[0])
        if isinstance(forward.step, TvmStep):
            make = partial(Repeat, forward, inputs[0])
            self._repeats.remember(make, inputs, states, params)

    def repeat(self, inputs: Tensors, states: Tensors, params: Tensors, led: bool) -> Repeat | None:
        """What does the same as :meth:`run`, in a fraction of the time of a small cell, where the
        tensors are like those of a call that is remembered; else None.  States that are ``led``,
        those that come and those that go, are [1, B, *shape]."""
        return self._repeats.find(inputs, states, params, led)

    def remember_training(self, inputs: Tensors, states: Tensors, params: Tensors) -> None:
        """That :meth:`run_saving` went well with these tensors, and not for the first time with such
        sizes, for :meth:`training_repeat`."""
        if not self._training_repeats.is_repeated(inputs, states):
            return
        needs = [tensor.requires_grad for tensor in (*inputs, *params)]
        trainer = self._trainer(needs, inputs[0])
        plan = memory_plan(self.program, trainer.derivative, inputs)
        if trainer.engine.exact and plan.kind == "none":

            def make(led: bool) -> TrainingRepeat:
                return TrainingRepeat(trainer, needs, plan.block, inputs[0])

            self._training_repeats.remember(make, inputs, states, params)

    def training_repeat(
        self, inputs: Tensors, states: Tensors, params: Tensors, led: bool
    ) -> TrainingRepeat | None:
        """What does the same as :meth:`run_saving` and :meth:`run_backward` in less time, where the
        tensors are like those of a call that is remembered, but for the axis of states that are
        ``led``; else None."""
        return self._training_repeats.find(inputs, states, params, led)

    def begin(self, like: Tensor, needs: Sequence[bool]) -> None:
        """Begin to make what :meth:`run_saving` and :meth:`run_backward` need for such streams."""
        begin(self._trainer(needs, like), like)

    def run_saving(
        self, inputs: Tensors, states: Tensors, params: Tensors, needs: Sequence[bool]
    ) -> list[Tensor]:
        """As :meth:`run`, then the streams that the backward pass reads."""
        trainer = self._trainer(needs, inputs[0])
        begin(trainer, inputs[0])
        values = trainer.engine.shared.values(params, inputs[0])
        outputs, finals, kept = self._block_run(trainer, inputs, states, values).run()
        given = [*inputs, *states, *params]
        results = _apart(trainer.engine, [*outputs, *finals, *kept], given)
        trainer.handed_on.leave(results[0], params, values)
        return results

    def parts(self, like: Tensor, trains: bool) -> list[tuple[SequenceProgram, int]]:
        """The programs that run on streams like that [T, B], and how many steps each takes."""
        return [(self.program, len(like))]

    def memory_plan(self, like: Tensor, needs: Sequence[bool]) -> MemoryPlan:
        """What training on streams like that [T, B] holds, and what it runs again."""
        return memory_plan(self.program, self.derivative(needs), [like])

    def kept_shapes(self, inputs: Tensors, needs: Sequence[bool]) -> list[tuple[int, ...]]:
        """The shapes of what :meth:`run_saving` returns after the final states."""
        return kept_shapes(self.program, self.derivative(needs), inputs)

    def _block_run(
        self, trainer: Trainer, inputs: Tensors, states: Tensors, values: tuple[Tensor, ...]
    ) -> BlockRun:
        found, engine = trainer.derivative, trainer.engine
        start = tuple(states or engine.start(values, inputs[0]))
        # Blocks would take from other forms what they are for: to see the whole sequence.
        whole = not engine.exact and found.formed
        plan = memory_plan(self.program, found, inputs, whole)
        shared = trainer.forward_params(values)
        return BlockRun(
            self.program, found, plan, trainer.forward, inputs, start, shared, engine.exact
        )

    def prepared(self, like: Tensor, params: Tensors) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Parameters and what is made of them, by name, and the declared states [B, *shape] of
        streams like that."""
        values = self._shared.values(params, like)
        start = self._shared.start(values, like)
        return dict(zip(self._shared.names, values, strict=True)), list(start)

    def step_params(self, like: Tensor, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What the step of :meth:`forward` takes as parameters, from what :meth:`prepared` returns."""
        return tuple([values[name] for name in self._engine(like).names(self._step_plan)])

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
        trainer = self._trainer(needs, inputs[0])
        values = trainer.handed_on.take(kept[0], params)
        if values is None:
            values = trainer.engine.shared.values(params, inputs[0])
        run = self._block_run(trainer, inputs, states, values)
        block = run.plan.block if run.exact else 0
        found = go_back(trainer, run.back, block, inputs[0], values, kept, cotangents, bool(states))
        others = [*kept, *cotangents]
        return owned_gradients(trainer, found, needs, inputs, states, params, others)


def _apart(engine: Engine, results: list[Tensor], given: list[Tensor]) -> list[Tensor]:
    """The results of a plan, sharing memory with nothing."""
    return apart(results) if engine.exact else own(results, given)
