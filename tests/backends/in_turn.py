"""Threads of a kernel that run one after the other between the places where they wait.

A thread that reads what another computes must wait for it first.  Where it does not, results
depend on who comes first, which is nearly always the same one.  Here that is chosen: kernels are
made whose threads go on from each wait in an order, each when those before it have come to the
next wait.  If results are the same bits in both orders, nobody reads or writes over what another
computes between the same two waits.
"""

from __future__ import annotations

import ctypes
from collections import OrderedDict

import pytest
import torch
from torch import Tensor
from tvm import tirx

from rnndsl.backends.torch import programs
from rnndsl.backends.torch.scratch import Scratch
from rnndsl.backends.tvm import lower_kernel, making, tir, waiting, worker
from rnndsl.backends.tvm.lower_values import Values
from rnndsl.backends.tvm.team import Team
from rnndsl.backends.tvm.tir import Expr, Stmt
from rnndsl.backends.tvm.worker import COUNTS

# Whether the last thread goes first; kernels read it where it lies.
_backwards = ctypes.c_int64(0)

# Each part looks until all have come, and those before it once more.  One that is told of no parts
# waits for nobody.
_LOOKING = f"""\
next:
  %other = phi i64 [ 0, %start ], [ %following, %seen ]
  %left = icmp slt i64 %other, %parts
  br i1 %left, label %turn, label %done
turn:
  %distance = mul i64 %other, {COUNTS}
  %theirs = getelementptr i64, ptr %counts, i64 %distance
  %lower = icmp slt i64 %other, %part
  %higher = icmp sgt i64 %other, %part
  %order = load i64, ptr inttoptr (i64 {ctypes.addressof(_backwards)} to ptr), align 8
  %turned = icmp ne i64 %order, 0
  %first = select i1 %turned, i1 %higher, i1 %lower
  %once = zext i1 %first to i64
  %wanted = add i64 %now, %once
  br label %look
look:
  %count = load atomic i64, ptr %theirs acquire, align 8
  %came = icmp sge i64 %count, %wanted
  br i1 %came, label %seen, label %yield
yield:
  %ignored = call i32 @sched_yield()
  br label %look
seen:
  %following = add i64 %other, 1
  br label %next
done:
  ret i32 0
}}
declare i32 @sched_yield()
"""


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on kernels are made whose threads run in turn, whatever their work is worth; the
    memory that they take holds no numbers at first."""
    statements = lower_kernel._Body.statements
    finish = Values.finish

    def ended(body: lower_kernel._Body) -> Stmt | None:
        return tir.sequence([statements(body), _counted(body.values.team, tir.index(0))])

    def begun(values: Values) -> tuple[list[Expr], list[Stmt]]:
        params, declared = finish(values)
        first = _counted(values.team, values.team.parts)
        return params, [*declared, *([first] if first is not None else [])]

    # No other test gets these kernels, and these tests get no others.
    monkeypatch.setattr(making, "cache_folder", lambda: None)
    monkeypatch.setattr(programs, "_runners", OrderedDict())
    monkeypatch.setattr(making, "_MANY_NODES", 1 << 30)  # all in one module, with one text
    monkeypatch.setattr(waiting, "_text", lambda: waiting.COMING + _LOOKING)
    monkeypatch.setattr(lower_kernel._Body, "statements", ended)
    monkeypatch.setattr(Values, "finish", begun)
    monkeypatch.setattr(worker, "worthwhile", lambda stages, steps, batch, most: most)
    poison(monkeypatch)


def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the memory that kernels take holds no numbers at first."""

    def poisoned(scratch: Scratch, elements: int) -> Tensor:
        return torch.full((elements,), torch.nan, dtype=scratch.dtype)

    monkeypatch.setattr(Scratch, "take", poisoned)


def last_first(backwards: bool) -> None:
    """The order of threads in the calls that follow."""
    _backwards.value = backwards


def _counted(team: Team, parts: Expr) -> Stmt | None:
    """The first wait, before anything is done, or a last one, for nobody."""
    table = team.table
    if table is None:
        return None
    wait = waiting.wait_for_all(table, team.numbers, team.part, parts)
    return tirx.IfThenElse(team.parts > 1, wait, None)
