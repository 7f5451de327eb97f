"""Peers that run the cell's ops one by one in PyTorch, with gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rnndsl.backends.torch.backends import compile_shared, compile_with_torch
from rnndsl.backends.torch.program import INIT, SequenceProgram
from rnndsl.backends.torch.source import load_function
from rnndsl.bench.problem import Problem
from rnndsl.bench.step_code import step_source, stops_gradients
from rnndsl.bench.subject import OnTorch, Results, Subject, on_torch
from rnndsl.compiler.ir import LeafRole
from rnndsl.compiler.split import split

Tensors = Mapping[str, Tensor]
Sequence = Callable[[Tensors, Tensors], tuple[Tensor, tuple[Tensor, ...]]]


def prepare_eager(problem: Problem) -> Subject:
    """The loop over unbound inputs that one writes by hand, its gates joined."""
    return prepare_wrapped(problem, lambda function: function)


def prepare_hoisted(problem: Problem) -> Subject:
    """The same, with what does not recur done for the whole sequence before the loop."""
    program = problem.program
    run_plan = compile_with_torch(split(program.step))

    def sequence(inputs: Tensors, values: Tensors) -> Any:
        streams = tuple(inputs[name] for name in program.inputs)
        starts = _starts(program, values, streams[0].shape[1])
        outputs, finals, _ = run_plan(streams, starts, _shared(program, values))
        return outputs[0], finals

    return whole_sequence(problem, sequence)


def why_not_hoisted(problem: Problem) -> str:
    if problem.mode == "stream":
        return "a single step has nothing to do beforehand"
    if problem.mode == "train" and stops_gradients(problem.program.step):
        return "the cell stops gradients inside, and this form cannot"
    return ""


def prepare_wrapped(problem: Problem, wrap: Callable[[Any], Any]) -> Subject:
    program = problem.program
    make_step = step_maker(program)
    if problem.mode != "stream":
        return whole_sequence(problem, wrap(looped(program, make_step)))
    with torch.no_grad():
        like = next(iter(problem.inputs.values()))
        values = _prepared(program, compile_shared(program.prepare), problem.params, like)
        one_step = wrap(make_step(_shared(program, values), like))
        start = _starts(program, values, problem.shape.batch)

    def stream() -> Any:
        outputs, states = [], start
        for x in problem.steps:
            (y, *_), states = one_step(tuple(x.values()), states)
            outputs.append(y)
        return outputs, states

    return on_torch(problem, OnTorch(stream, {}))


def whole_sequence(problem: Problem, sequence: Sequence) -> Subject:
    """What depends on parameters alone is made in each training step, and once for inference."""
    program = problem.program
    prepare = compile_shared(program.prepare)
    like = next(iter(problem.inputs.values()))
    params, leaves = problem.params, {**problem.inputs, **problem.trained}
    with torch.no_grad():
        ready = _prepared(program, prepare, params, like)

    def infer() -> Any:
        return sequence(problem.inputs, ready)

    def train() -> Any:
        return sequence(problem.inputs, _prepared(program, prepare, params, like))

    return on_torch(problem, OnTorch(train if problem.mode == "train" else infer, leaves))


def reference(problem: Problem) -> Results:
    """What all results are compared with: the ops one by one in float64."""
    program = problem.program
    inputs, params = (
        {name: t.detach().double().requires_grad_(t.requires_grad) for name, t in group.items()}
        for group in (problem.inputs, problem.params)
    )
    sequence = looped(program, step_maker(program))
    with torch.set_grad_enabled(problem.mode == "train"):
        like = next(iter(inputs.values()))
        values = _prepared(program, compile_shared(program.prepare), params, like)
        y, finals = sequence(inputs, values)
    results = {"the output": y.detach()}
    if problem.mode != "train":
        named = zip(program.states, finals, strict=True)
        return results | {f"final state {name}": final for name, final in named}
    leaves = {k: v for k, v in {**inputs, **params}.items() if v.requires_grad}
    cotangent = problem.cotangent.double()
    found = torch.autograd.grad(y, list(leaves.values()), cotangent, allow_unused=True)
    for (name, leaf), gradient in zip(leaves.items(), found, strict=True):
        results[f"gradient of {name}"] = torch.zeros_like(leaf) if gradient is None else gradient
    return results


def step_maker(program: SequenceProgram) -> Callable[[tuple[Tensor, ...], Tensor], Any]:
    return load_function(*step_source(program.step))


def looped(program: SequenceProgram, make_step: Callable[..., Any]) -> Sequence:
    def sequence(inputs: Tensors, values: Tensors) -> Any:
        streams = [inputs[name] for name in program.inputs]
        one_step = make_step(_shared(program, values), streams[0])
        states = _starts(program, values, streams[0].shape[1])
        outputs = []
        for x in zip(*(stream.unbind() for stream in streams), strict=True):
            (y, *_), states = one_step(x, states)
            outputs.append(y)
        return torch.stack(outputs), states

    return sequence


def _prepared(
    program: SequenceProgram, prepare: Callable[..., Any], params: Tensors, like: Tensor
) -> dict[str, Tensor]:
    """Parameters, what is derived from them, and initial states, by name."""
    made = prepare(tuple(params[leaf.name] for leaf in program.prepare.leaves), like)
    names = (result.name for result in program.prepare.results)
    return {**params, **dict(zip(names, made, strict=True))}


def _shared(program: SequenceProgram, values: Tensors) -> tuple[Tensor, ...]:
    return tuple(values[leaf.name] for leaf in program.step.leaves_of(LeafRole.PARAM))


def _starts(program: SequenceProgram, values: Tensors, batch: int) -> tuple[Tensor, ...]:
    found = [values[f"{INIT}{name}"] for name in program.states]
    return tuple([first.expand(batch, *first.shape) for first in found])
