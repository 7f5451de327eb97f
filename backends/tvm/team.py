"""The threads that run a kernel together, as the kernel sees them.

They are the threads of the caller's OpenMP: the caller starts the kernel on all of them at
once, and they wait for each other between its stages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tvm import tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.outline import Outline
from rnndsl.backends.tvm.tir import Expr, Stmt
from rnndsl.backends.tvm.waiting import wait_for_all

# Functions of OpenMP, called only where there is more than one part.
_COUNT, _NUMBER = "omp_get_num_threads", "omp_get_thread_num"


@dataclass(frozen=True, slots=True)
class Team:
    """Part ``part`` of ``parts``; constants 0 and 1 where work is never shared.

    ``lengths`` are arguments of the kernel, ``declarations`` find the others in them.  All
    arguments are ``numbers`` in a ``table``, where parts that wait for each other count.
    Parts that are ``apart`` take the same pieces of all values, and never wait.  Vectors are shared
    in units of ``unit`` elements.
    """

    is_shared: bool = False
    part: Expr = field(default_factory=lambda: tir.index(0))
    parts: Expr = field(default_factory=lambda: tir.index(1))
    table: Expr | None = None
    numbers: Expr = field(default_factory=lambda: tir.index(0))
    lengths: tuple[Expr, ...] = ()
    declarations: tuple[Stmt, ...] = ()
    apart: bool = False
    unit: int = 1

    @classmethod
    def of_call(cls, table: Expr, numbers: Expr) -> Team:
        """All threads that run the kernel."""
        wanted = tir.length("threads")
        parts, counted = _asked("parts", wanted > 1, _COUNT, 1)
        part, numbered = _asked("part", wanted > 1, _NUMBER, 0)
        return cls(True, part, parts, table, numbers, (wanted,), (counted, numbered))

    def has_few(self, rows: Expr, multiple: int) -> Expr:
        """Whether rows are too few to be shared."""
        return tirx.truncdiv(rows + (multiple - 1), tir.index(multiple)) < self.parts

    def divides(self, units: int) -> Expr:
        """Whether all parts have as many units."""
        return tirx.EQ(tirx.truncmod(tir.index(units), self.parts), tir.index(0))

    def columns_if(self, few: Expr) -> Columns:
        """The team that shares loops of a stage with too ``few`` rows to share these: each part is
        alone in it where there are enough."""
        zero, one = tir.index(0), tir.index(1)
        flag, flagged = tir.bind_index("few", tirx.Cast(tir.INDEX, few))
        part, numbered = tir.bind_index("column", tirx.Select(flag > 0, self.part, zero))
        parts, counted = tir.bind_index("columns", tirx.Select(flag > 0, self.parts, one))
        home, homed = tir.bind_index("home", tirx.Select(flag > 0, zero, self.part))
        declared = flagged, numbered, counted, homed
        return Columns(Team(True, part, parts, self.table, self.numbers, (), declared), flag, home)

    def wait(self, outline: Outline) -> Stmt | None:
        """All parts wait here until the last has come, in a function of ``outline``."""
        table = self.table
        if table is None:
            return None
        barrier = outline.call(lambda: wait_for_all(table, self.numbers, self.part, self.parts))
        return tirx.IfThenElse(self.parts > 1, barrier, None)

    def first_alone(self, body: Stmt | None) -> Stmt | None:
        """A statement that one part runs for all."""
        if body is None or not self.is_shared:
            return body
        return tirx.IfThenElse(tirx.EQ(self.part, tir.index(0)), body, None)

    def last_alone(self, body: Stmt | None) -> Stmt | None:
        """A statement for the part whose share is the last: what whole multiples leave."""
        if body is None or not self.is_shared:
            return body
        return tirx.IfThenElse(tirx.EQ(self.part, self.parts - 1), body, None)

    def share(self, count: Expr, multiple: int) -> tuple[Expr, Expr, list[Stmt]]:
        """Where the share of this part begins and ends, in whole multiples but for the last,
        and the statements that find it."""
        if not self.is_shared:
            return tir.index(0), count, []
        # Lengths are never negative, which LLVM has a hard time finding out by itself.
        units = tirx.truncdiv(count + (multiple - 1), tir.index(multiple))

        def bound(part: Expr) -> Expr:
            return tirx.min(count, tirx.truncdiv(units * part, self.parts) * multiple)

        start, begun = tir.bind_index("start", bound(self.part))
        stop, ended = tir.bind_index("stop", bound(self.part + 1))
        return start, stop, [begun, ended]


@dataclass(frozen=True, slots=True)
class Columns:
    """The team of a stage with few rows; ``few`` is 0 where there are enough, and ``home`` the
    part in whose memory this part works."""

    team: Team = field(default_factory=Team)
    few: Expr = field(default_factory=lambda: tir.index(0))
    home: Expr = field(default_factory=lambda: tir.index(0))


def _asked(name: str, several: Expr, function: str, alone: int) -> tuple[Expr, Stmt]:
    found = tirx.Cast(tir.INDEX, tirx.call_extern("int32", function))
    return tir.bind_index(name, tirx.if_then_else(several, found, tir.index(alone)))
