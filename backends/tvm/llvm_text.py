"""Functions in LLVM's own language that a kernel calls."""

from __future__ import annotations

from tvm import ir, tirx

from rnndsl.backends.tvm.tir_types import Stmt


def with_llvm(text: str, body: Stmt) -> Stmt:
    """The body of a kernel that calls functions which ``text`` defines."""
    return tirx.AttrStmt(tirx.IntImm("int32", 0), "pragma_import_llvm", ir.StringImm(text), body)
