"""The threads that run a kernel together, as the kernel sees them.

They are the threads of the caller's OpenMP: the caller starts the kernel on all of them at
once, and they wait for each other between its stages.
"""

from __future__ import annotations

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.tir import Expr, Stmt

# Functions of OpenMP, called only where there is more than one part.
_COUNT, _NUMBER, _BARRIER = "omp_get_num_threads", "omp_get_thread_num", "GOMP_barrier"


class Team:
    """Part ``part`` of ``parts``; constants 0 and 1 where a kernel is never shared."""

    def __init__(self, shared: bool) -> None:
        self.is_shared = shared
        self.part, self.parts = tir.index(0), tir.index(1)
        self.lengths: list[Expr] = []
        self.declarations: list[Stmt] = []
        if shared:
            wanted = tir.length("threads")
            self.lengths = [wanted]
            several = wanted > 1
            self.parts, counted = _asked("parts", several, _COUNT, 1)
            self.part, numbered = _asked("part", several, _NUMBER, 0)
            self.declarations = [counted, numbered]

    def wait(self) -> Stmt | None:
        """All parts wait here until the last has come."""
        if not self.is_shared:
            return None
        barrier = tirx.Evaluate(tirx.call_extern("int32", _BARRIER))
        return tirx.IfThenElse(self.parts > 1, barrier, None)

    def first_alone(self, body: Stmt | None) -> Stmt | None:
        """A statement that one part runs for all."""
        if body is None or not self.is_shared:
            return body
        return tirx.IfThenElse(tirx.EQ(self.part, tir.index(0)), body, None)

    def share(self, count: Expr, multiple: int) -> tuple[Expr, Expr, list[Stmt]]:
        """Where the share of this part begins and ends, in whole multiples but for the last,
        and the statements that find it."""
        if not self.is_shared:
            return tir.index(0), count, []
        units = tirx.floordiv(count + (multiple - 1), tir.index(multiple))

        def bound(part: Expr) -> Expr:
            return tirx.min(count, tirx.floordiv(units * part, self.parts) * multiple)

        start, begun = tir.bind("start", bound(self.part), tir.INDEX)
        stop, ended = tir.bind("stop", bound(self.part + 1), tir.INDEX)
        return start, stop, [begun, ended]


def _asked(name: str, several: Expr, function: str, alone: int) -> tuple[Expr, Stmt]:
    found = tirx.Cast(tir.INDEX, tirx.call_extern("int32", function))
    return tir.bind(name, tirx.if_then_else(several, found, tir.index(alone)), tir.INDEX)
