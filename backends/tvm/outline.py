"""Statements as functions of their own.

LLVM's time grows faster than the size of a function, and equal statements (products of equal
sizes, say) need to be compiled only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import tvm_ffi
from tvm import ir, tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.llvm_text import call_text
from rnndsl.backends.tvm.tir import Expr, Stmt

# TVM's attribute of statements that LLVM is to compile as a function that it does not inline.
_APART = "compute_scope"
# What TVM asks of functions that hold registers; 1 is a CPU.
_ON_THE_CPU = {"device_id": 0, "device_type": 1}
_ZERO = tirx.IntImm("int32", 0)


def on_the_cpu(body: Stmt) -> Stmt:
    """The body of a function that TVM's own entry does not surround."""
    for key, number in _ON_THE_CPU.items():
        body = tirx.AttrStmt(_ZERO, key, tirx.IntImm("int32", number), body)
    return body


class Outline:
    """The functions that statements of one kernel became."""

    def __init__(self, prefix: str) -> None:
        self.functions: dict[ir.GlobalVar, tirx.PrimFunc] = {}
        self._prefix = prefix
        self._known: dict[int, list[ir.GlobalVar]] = {}

    def call(self, make: Callable[[], Stmt | None]) -> Stmt | None:
        """A call of the statement that ``make`` builds, in place of the statement."""
        with tir.elsewhere() as found:
            body = make()
        if body is None:
            return None
        used = found.buffers.values()
        declared = [tirx.DeclBuffer(entry.local, data=entry.pointer) for entry in used]
        whole = tir.sequence([*declared, body])
        arguments = [(entry.pointer, tirx.address_of(entry.start())) for entry in used]
        arguments += [(variable, tir.index(value)) for value, variable in found.offsets.items()]
        for variable in tirx.analysis.undefined_vars(whole):
            if not any(variable.same_as(known) for known, _ in arguments):
                arguments.append((variable, variable))
        return self._call(whole, arguments)

    @contextmanager
    def current(self) -> Iterator[None]:
        """While this lasts, :func:`call_apart` makes functions of this kernel."""
        token = _outline.set(self)
        try:
            yield
        finally:
            _outline.reset(token)

    def _call(self, body: Stmt, arguments: list[tuple[Expr, Expr]]) -> Stmt:
        """A call of a function with this body; ``arguments`` are parameters and their values."""
        apart = tirx.AttrStmt(_ZERO, _APART, ir.StringImm("step"), body)
        done = tir.sequence([on_the_cpu(apart), tirx.stmt.Return(_ZERO)])
        params = [param for param, _ in arguments]
        function = tirx.PrimFunc(params, done, ir.PrimType("int32"))
        function = function.with_attr("tirx.noalias", True)
        return tirx.Evaluate(ir.Call(self._name(function), [given for _, given in arguments]))

    def _name(self, function: tirx.PrimFunc) -> ir.GlobalVar:
        """The name of an equal function, or a new one."""
        known = self._known.setdefault(tvm_ffi.structural_hash(function), [])
        for name in known:
            if tvm_ffi.structural_equal(self.functions[name], function):
                return name
        name = ir.GlobalVar(f"{self._prefix}_{len(self.functions)}")
        self.functions[name] = function
        known.append(name)
        return name


_outline: ContextVar[Outline] = ContextVar("outline")


def call_apart(name: str, text: str, arguments: dict[str, Expr]) -> Stmt:
    """A call of ``i32 @name``, which ``text`` defines in LLVM's language, with arguments by
    name; not inlined, as TVM has LLVM do with what is imported."""
    given = [(tirx.Var(key, value.ty), value) for key, value in arguments.items()]
    return _outline.get()._call(call_text(name, text, *(param for param, _ in given)), given)
