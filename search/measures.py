"""The objectives besides the loss: how large a cell is, and how fast it trains and runs.

Lower is better for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.search.errors import UnknownObjective

if TYPE_CHECKING:
    from rnndsl.training.latency import Sized

# Objectives and their units; the loss is in the unit of the task.
MEASURES: Mapping[str, str] = {
    "loss": "",
    "latency": "x latency",
    "parameters": "parameters",
    "throughput": "µs/token",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a training run shows of a cell."""

    loss: float
    parameters: int
    seconds_per_token: float


def objective_names(text: str) -> tuple[str, ...]:
    """``loss,latency`` as names; RnndslError (E0616) for one that there is not."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names or ("",):
        if name not in MEASURES:
            near = did_you_mean(name, tuple(MEASURES))
            raise RnndslError(UnknownObjective(None, name, ", ".join(MEASURES), near))
    return names


def measure(
    name: str,
    cell: Sized,
    baseline: Sized,
    input_size: int,
    found: Measured,
    facts: dict[str, Any],
) -> float:
    """The objective ``name`` of a cell that was trained; more about it goes into ``facts``."""
    if name == "loss":
        return found.loss
    if name == "parameters":
        return float(found.parameters)
    if name == "throughput":
        return found.seconds_per_token * 1e6
    from rnndsl.training.latency import step_latencies

    own, other = step_latencies(cell, baseline, input_size)
    facts["latency_us"] = round(own * 1e6, 3)
    facts["baseline_latency_us"] = round(other * 1e6, 3)
    return own / other
