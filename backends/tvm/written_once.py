"""Loops that LLVM is to leave as they are.

LLVM writes out short loops, outer ones too: sixteen copies of a loop that it then unrolls by
itself.  That makes kernels twice as large and no faster.  A call that may not be duplicated,
and becomes no instruction, keeps it from that.
"""

from __future__ import annotations

from tvm import tirx

from rnndsl.backends.tvm.llvm_text import with_llvm
from rnndsl.backends.tvm.tir_types import Stmt

_NAME = "rnndsl_once"
_TEXT = f"""
define i32 @{_NAME}() {{
  call void @llvm.sideeffect() noduplicate
  ret i32 0
}}
declare void @llvm.sideeffect()
"""


def written_once(body: Stmt) -> Stmt:
    """The body of a loop that LLVM does not unroll."""
    return tirx.SeqStmt([tirx.Evaluate(tirx.call_extern("int32", _NAME)), body])


def with_loops_written_once(body: Stmt) -> Stmt:
    """The body of a kernel in which, or in whose functions, :func:`written_once` was used."""
    return with_llvm(_TEXT, body)
