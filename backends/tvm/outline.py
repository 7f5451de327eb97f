"""Statements as functions of their own.

LLVM's time grows faster than the size of a function, and equal statements (products of equal
sizes, say) need to be compiled only once.  In one module with those who call them, they are kept
apart by a scope that costs a second function each; where they are to be compiled in other modules
(modules.py), nothing can be put into their callers, and they have names to be called by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import tvm_ffi
from tvm import ir, tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.llvm_text import also_called, call_text, called_functions
from rnndsl.backends.tvm.lower_names import ALONE, CALLED, EXPORTED
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
    """The functions that statements of one kernel became; ``in_modules`` if they need not be in
    the module of those who call them."""

    def __init__(self, prefix: str, in_modules: bool = False) -> None:
        self.functions: dict[ir.GlobalVar, tirx.PrimFunc] = {}
        self._prefix, self._in_modules = prefix, in_modules
        self._known: dict[int, list[tuple[tirx.PrimFunc, ir.GlobalVar]]] = {}

    def call(self, make: Callable[[], Stmt | None]) -> Stmt | None:
        """A call of the statement that ``make`` builds, in place of the statement."""
        with tir.elsewhere() as found, called_functions() as texts:
            body = make()
        if body is None:
            return None
        used = found.buffers.values()
        declared = [entry.declared for entry in used]
        whole = tir.sequence([*declared, body])
        arguments = [(entry.pointer, entry.start()) for entry in used]
        arguments += [(variable, tir.index(value)) for value, variable in found.offsets.items()]
        for variable in tirx.analysis.undefined_vars(whole):
            if not any(variable.same_as(known) for known, _ in arguments):
                arguments.append((variable, variable))
        return self._call(whole, arguments, texts, alone=not self._in_modules)

    def call_text(self, name: str, text: str, arguments: Mapping[str, Expr]) -> Stmt:
        """A call of ``i32 @name``, which ``text`` defines in LLVM's language, by a function of
        its own, since TVM has LLVM put what is imported into its callers."""
        given = [(tirx.Var(key, value.ty), value) for key, value in arguments.items()]
        with called_functions() as texts:
            body = call_text(name, text, *(param for param, _ in given))
        return self._call(body, given, texts, alone=True)

    @contextmanager
    def current(self) -> Iterator[None]:
        """While this lasts, :func:`call_apart` makes functions of this kernel."""
        token = _outline.set(self)
        try:
            yield
        finally:
            _outline.reset(token)

    def _call(
        self,
        body: Stmt,
        arguments: list[tuple[Expr, Expr]],
        texts: Mapping[str, str],
        alone: bool,
    ) -> Stmt:
        """A call of a function with this body, which calls ``texts``; ``arguments`` are
        parameters and their values.  ``alone``: it is to stay a function in any module."""
        if alone:
            body = tirx.AttrStmt(_ZERO, _APART, ir.StringImm("step"), body)
        done = tir.sequence([on_the_cpu(body), tirx.stmt.Return(_ZERO)])
        params = [param for param, _ in arguments]
        function = tirx.PrimFunc(params, done, ir.PrimType("int32"))
        function = function.with_attr("tirx.noalias", True)
        name, values = self._name(function), [given for _, given in arguments]
        if not self._in_modules:
            also_called(texts)
            return tirx.Evaluate(ir.Call(name, values))
        function = function.with_attr(EXPORTED, name.name_hint).with_attr(ALONE, alone)
        self.functions[name] = function.with_attr(CALLED, sorted(texts.values()))
        return tirx.Evaluate(tirx.call_extern("int32", name.name_hint, *values))

    def _name(self, function: tirx.PrimFunc) -> ir.GlobalVar:
        """The name of an equal function, or a new one."""
        known = self._known.setdefault(tvm_ffi.structural_hash(function), [])
        for other, name in known:
            if tvm_ffi.structural_equal(other, function):
                return name
        name = ir.GlobalVar(f"{self._prefix}_{len(self.functions)}")
        self.functions[name] = function
        known.append((function, name))
        return name


_outline: ContextVar[Outline] = ContextVar("outline")


def call_apart(name: str, text: str, arguments: dict[str, Expr]) -> Stmt:
    """A call of ``i32 @name``, which ``text`` defines in LLVM's language, with arguments by
    name; not put into its callers."""
    return _outline.get().call_text(name, text, arguments)
