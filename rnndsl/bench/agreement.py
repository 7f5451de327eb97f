"""Do two implementations compute the same?  Asked before either is timed."""

from __future__ import annotations

import math

from torch import Tensor

from rnndsl.bench.problem import Problem
from rnndsl.bench.subject import Results
from rnndsl.diagnostics import RnndslError
from rnndsl.errors_bench import Disagreement

# What float32 may lose over a sequence, relative to the largest element, and at least; and of a
# gradient relative to the largest of all: it is a sum over time and batch, in which terms of that
# size may cancel.
RELATIVE, ABSOLUTE, CANCELLED = 1e-3, 1e-5, 1e-4
GRADIENT = "gradient of "  # how the names of such results begin


def check_agreement(problem: Problem, peer: str, found: Results, expected: Results) -> float:
    """The largest difference, in parts of what is allowed; RnndslError (E0903) above 1.

    ``expected`` is in float64.  A result that is missing or not finite disagrees.
    """
    worst = 0.0
    sizes = {what: float(value.abs().max()) for what, value in expected.items()}
    largest = max((size for what, size in sizes.items() if what.startswith(GRADIENT)), default=0.0)
    for what, value in expected.items():
        allowed = RELATIVE * sizes[what] + ABSOLUTE
        allowed += CANCELLED * largest if what.startswith(GRADIENT) else 0.0
        difference = _difference(found.get(what), value)
        if not difference <= allowed:
            raise RnndslError(
                Disagreement(None, peer, what, f"{difference:.2g}", f"{allowed:.2g}", str(problem))
            )
        worst = max(worst, difference / allowed)
    return worst


def _difference(found: Tensor | None, expected: Tensor) -> float:
    if found is None or found.shape != expected.shape:
        return math.inf
    return float((found.detach().double() - expected.detach()).abs().max())
