"""Functions in LLVM's own language that a kernel calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from tvm import ir, tirx

from rnndsl.backends.tvm.tir_types import Expr, Stmt


def with_llvm(text: str, body: Stmt) -> Stmt:
    """The body of a kernel that calls functions which ``text`` defines."""
    return tirx.AttrStmt(tirx.IntImm("int32", 0), "pragma_import_llvm", ir.StringImm(text), body)


# The texts of functions that the kernel that is being built calls, by name.
_called: ContextVar[dict[str, str] | None] = ContextVar("called", default=None)


@contextmanager
def called_functions() -> Iterator[Mapping[str, str]]:
    """The texts by name of the functions that :func:`call_text` calls while this lasts."""
    found = dict[str, str]()
    token = _called.set(found)
    try:
        yield found
    finally:
        _called.reset(token)


def call_text(name: str, text: str, *arguments: Expr) -> Stmt:
    """A call of ``i32 @name``, which ``text`` defines."""
    called = _called.get()
    if called is not None:
        called[name] = text
    return tirx.Evaluate(tirx.call_extern("int32", name, *arguments))


def also_called(texts: Mapping[str, str]) -> None:
    """Note texts that were found by an inner :func:`called_functions`."""
    called = _called.get()
    if called is not None:
        called.update(texts)


def with_called(called: Mapping[str, str], body: Stmt) -> Stmt:
    """The body of a kernel that calls these functions."""
    for _, text in sorted(called.items()):
        body = with_llvm(text, body)
    return body
