"""What the times of a plan are predicted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnndsl.compiler.cost import Rates


@dataclass(frozen=True, slots=True)
class Setting:
    """T and B, and the rates of a machine's core; None stands for typical ones.

    ``each`` is what a step of the plan is: a time step, or a block of them.
    """

    steps: int = 35
    batch: int = 20
    rates: Rates | None = None
    each: str = "step"
