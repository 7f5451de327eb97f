"""How a sequence is taken on kernels: step after step, or in blocks of steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rnndsl.showing.case import Case
from rnndsl.showing.plan_page import predicted

_FLOAT = 4


@dataclass(frozen=True, slots=True)
class Taken:
    """What the pages of a training step show, and a line that says so where that is no time step."""

    case: Case
    note: str = ""


def taken(bound: Case) -> Taken:
    """A training step of a bound case."""
    if bound.blocks is None:
        return Taken(bound)
    form, case = bound.blocks
    steps, batch = bound.setting.steps, bound.setting.batch
    count, rest = divmod(steps, form.length)
    padded = rest > 0 and form.take_rest(steps, batch * _FLOAT)
    if padded:
        count, rest = count + 1, 0
    if not count:
        return Taken(bound)
    case = replace(case, setting=replace(case.setting, steps=count, each="block"))
    note = f"trains in blocks of {form.length} time steps, which are the steps below: {count} here"
    note += ", the last one padded" if padded else ""
    note += f", and {_rest_text(bound, rest)}" if rest else ""
    return Taken(case, note + "\n")


def _rest_text(bound: Case, rest: int) -> str:
    left = replace(bound.setting, steps=rest)
    plans = bound.forward_plan(True), bound.backward_plan()
    seconds = sum(predicted(plan, left) for plan in plans)
    steps = f"{rest} time step{'s' if rest > 1 else ''} left"
    return f"{steps}, predicted {1e3 * seconds:.2f} ms"


def inference_seconds(bound: Case) -> float:
    """Of a call without gradients."""
    blocks = bound.blocks
    if blocks is None or not blocks[0].without_gradients:
        return predicted(bound.forward_plan(False), bound.setting)
    form, case = blocks
    count, rest = divmod(bound.setting.steps, form.length)
    found = ((case, count), (bound, rest))
    return sum(
        predicted(which.forward_plan(False), replace(bound.setting, steps=steps))
        for which, steps in found
        if steps
    )
