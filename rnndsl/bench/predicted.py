"""What the compiler expects a case to take, to be shown beside what it took."""

from __future__ import annotations

import torch

from rnndsl.backends.torch.chunked import make_runner
from rnndsl.backends.torch.derivative import differentiate_program
from rnndsl.backends.torch.program import SequenceProgram
from rnndsl.bench.problem import Problem
from rnndsl.compiler.cost import Rates, predict, worthwhile
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.plan import Plan
from rnndsl.compiler.split import split


def predicted_seconds(problem: Problem, rates: Rates | None) -> float | None:
    """Seconds of a call on kernels, by the cost model at these rates of one core, on as many
    threads as kernels take.

    None where the rates are not known, and for single steps, of which it knows little.
    """
    if rates is None or problem.mode == "stream":
        return None
    from rnndsl.backends.tvm.arranging import arrange
    from rnndsl.backends.tvm.groups import work_of

    shape, total = problem.shape, 0.0
    like = torch.empty(shape.steps, shape.batch, device="meta")
    for program, steps in make_runner(problem.program, None).parts(like, problem.mode == "train"):
        for plan in _plans(program, problem):
            stages = work_of(arrange(plan))
            threads = worthwhile(stages, steps, shape.batch, torch.get_num_threads())
            total += predict(stages, rates, steps, shape.batch, threads).seconds
    return total


def _plans(program: SequenceProgram, problem: Problem) -> list[Plan]:
    if problem.mode == "infer":
        return [split(run_pipeline(program.step, PIPELINES["final"]))]
    derivative = differentiate_program(program, frozenset([*problem.inputs, *problem.trained]))
    return [split(derivative.forward), split(derivative.backward, reverse=True)]
