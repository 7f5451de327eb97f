"""How the threads that run a kernel wait for each other: a function in LLVM's own language.

OpenMP's barrier asks the operating system to wake threads each time, which takes longer than a
step of a small scan.  Here each part counts, in a cache line of its own, how often it came, and
looks at the others' counts until they are as high: one line goes from core to core.  A part that
looks for long lets others have its processor, so that nothing is lost where there are fewer
processors than threads.
"""

from __future__ import annotations

import platform
from functools import cache

from rnndsl.backends.tvm.llvm_text import call_text
from rnndsl.backends.tvm.tir import Expr, Stmt
from rnndsl.backends.tvm.worker import COUNTS

NAME = "rnndsl_wait"
# Looks before others may have the processor, some tens of microseconds.
_LOOKS = 4000
_PAUSES = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}
# A part counts that it came.  The counts follow the numbers of the table, from a multiple of their
# distance on.
COMING = f"""
define i32 @{NAME}(ptr %table, i64 %numbers, i64 %part, i64 %parts) {{
start:
  %end = getelementptr i64, ptr %table, i64 %numbers
  %address = ptrtoint ptr %end to i64
  %beyond = add i64 %address, {8 * COUNTS - 1}
  %aligned = and i64 %beyond, -{8 * COUNTS}
  %counts = inttoptr i64 %aligned to ptr
  %place = mul i64 %part, {COUNTS}
  %own = getelementptr i64, ptr %counts, i64 %place
  %before = load i64, ptr %own, align 8
  %now = add i64 %before, 1
  store atomic i64 %now, ptr %own release, align 8
  br label %next
"""
# Then it looks at the counts of the others.
_LOOKING = """\
next:
  %other = phi i64 [ 0, %start ], [ %following, %seen ]
  %there = mul i64 %other, {line}
  %theirs = getelementptr i64, ptr %counts, i64 %there
  br label %look
look:
  %looks = phi i64 [ 0, %next ], [ %more, %pause ], [ %more, %yield ]
  %count = load atomic i64, ptr %theirs acquire, align 8
  %came = icmp sge i64 %count, %now
  br i1 %came, label %seen, label %again
again:
  %more = add i64 %looks, 1
  %long = icmp sgt i64 %more, {looks}
  br i1 %long, label %yield, label %pause
pause:
  {pause}
  br label %look
yield:
  %ignored = call i32 @sched_yield()
  br label %look
seen:
  %following = add i64 %other, 1
  %left = icmp slt i64 %following, %parts
  br i1 %left, label %next, label %done
done:
  ret i32 0
}}
declare i32 @sched_yield()
"""


def wait_for_all(table: Expr, numbers: Expr, part: Expr, parts: Expr) -> Stmt:
    """Statement after which all parts have come here; ``numbers`` are in the table."""
    return call_text(NAME, _text(), table, numbers, part, parts)


@cache
def _text() -> str:
    pause = _PAUSES.get(platform.machine())
    text = COMING + _LOOKING.format(
        line=COUNTS,
        looks=_LOOKS,
        pause=f"call void @{pause}()" if pause else "",
    )
    return text + (f"declare void @{pause}()\n" if pause else "")
