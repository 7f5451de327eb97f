"""Kernels that take a table of arguments: a plain C function, and how TVM calls it."""

from __future__ import annotations

from typing import Any

from tvm import ir, tirx

from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_names import EXPORTED, WORKER
from rnndsl.backends.tvm.outline import on_the_cpu
from rnndsl.backends.tvm.tir import Expr, Stmt


def table_entry(symbol: str, params: list[Expr], body: Stmt) -> dict[Any, tirx.PrimFunc]:
    """The worker ``int f(int64_t *table)`` by its variable, and the function ``symbol`` of TVM
    that calls it with the address that it is given."""
    done = tir.sequence([on_the_cpu(body), tirx.stmt.Return(tirx.IntImm("int32", 0))])
    worker = tirx.PrimFunc(params, done, ir.PrimType("int32"))
    name = symbol + WORKER
    worker = worker.with_attr(EXPORTED, name).with_attr("tirx.noalias", True)
    variable = ir.GlobalVar(name)
    address = tir.length("table")
    pointer = tirx.reinterpret(ir.PointerType(ir.PrimType(tir.INDEX)), address)
    entry = tirx.PrimFunc([address], tirx.Evaluate(ir.Call(variable, [pointer])))
    return {symbol: entry.with_attr("global_symbol", symbol), variable: worker}
