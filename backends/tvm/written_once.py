"""Loops that LLVM is to leave as they are.

LLVM writes out short loops, outer ones too: sixteen copies of a loop that it then unrolls by
itself.  That makes kernels twice as large and no faster.  A call that may not be duplicated,
and becomes no instruction, keeps it from that.
"""

from __future__ import annotations

from tvm import tirx

from rnndsl.backends.tvm.llvm_text import call_text
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
    return tirx.SeqStmt([call_text(_NAME, _TEXT), body])
