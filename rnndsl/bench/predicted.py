"""What the compiler expects a case to take, to be shown beside what it took."""

from __future__ import annotations

from dataclasses import replace

import torch

from rnndsl.backends.torch.derivative import differentiate_program
from rnndsl.bench.problem import Problem
from rnndsl.compiler.cost import Rates, predict
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.plan import Plan
from rnndsl.compiler.split import split


def predicted_seconds(problem: Problem, rates: Rates | None) -> float | None:
    """Seconds of a call on kernels, by the cost model at these rates of one core.

    None where the rates are not known, and for single steps, of which it knows little.
    """
    if rates is None or problem.mode == "stream":
        return None
    from rnndsl.backends.tvm.arranging import arrange
    from rnndsl.backends.tvm.groups import work_of

    shape, cores = problem.shape, _together(rates, torch.get_num_threads())
    return sum(
        predict(work_of(arrange(plan)), cores, shape.steps, shape.batch).seconds
        for plan in _plans(problem)
    )


def _plans(problem: Problem) -> list[Plan]:
    program = problem.program
    if problem.mode == "infer":
        return [split(run_pipeline(program.step, PIPELINES["final"]))]
    derivative = differentiate_program(program, frozenset([*problem.inputs, *problem.trained]))
    return [split(derivative.forward), split(derivative.backward, reverse=True)]


def _together(rates: Rates, threads: int) -> Rates:
    """Rates of several cores: they share memory, and have caches of their own."""
    return replace(
        rates,
        products=rates.products * threads,
        elements=rates.elements * threads,
        near=rates.near * threads,
        far=rates.far * threads,
    )
