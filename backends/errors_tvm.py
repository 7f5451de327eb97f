"""Mistakes and missing pieces on the way to a compiled cell."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.compiler.ir import Node
from rnndsl.diagnostics import Diagnostic, RnndslError


@dataclass(frozen=True)
class TvmMissing(Diagnostic):
    code = "E0501"
    title = "TVM is not installed, or does not load: {reason}"
    help = "install it with `pip install 'rnndsl[tvm]'`"
    reason: str


@dataclass(frozen=True)
class UnsupportedOp(Diagnostic):
    code = "E0502"
    title = "the TVM backend cannot compile `{op}`"
    label = "this becomes `{op}` of {result}"
    op: str
    result: str


@dataclass(frozen=True)
class LinkerMissing(Diagnostic):
    code = "E0503"
    title = "no linker was found to make a shared library"
    note = "looked for {looked}"
    help = "install a C compiler (gcc or clang), which is used as a linker only"
    looked: str


@dataclass(frozen=True)
class LinkFailed(Diagnostic):
    code = "E0504"
    title = "the shared library could not be linked: {reason}"
    reason: str


@dataclass(frozen=True)
class OutputNotWritable(Diagnostic):
    code = "E0505"
    title = "cannot write to `{path}`: {reason}"
    path: str
    reason: str


@dataclass(frozen=True)
class UnknownTarget(Diagnostic):
    code = "E0506"
    title = "unknown target `{target}`"
    help = "use `native`, or the name of a processor such as `x86-64-v3`"
    target: str


@dataclass(frozen=True)
class UnknownDtype(Diagnostic):
    code = "E0507"
    title = "kernels compute in float32 or float64, not {dtype}"
    dtype: str


@dataclass(frozen=True)
class WrongWeights(Diagnostic):
    code = "E0508"
    title = "the weights do not fit the cell `{cell}`: {reason}"
    cell: str
    reason: str


@dataclass(frozen=True)
class NotExportable(Diagnostic):
    code = "E0512"
    title = "this layer cannot be compiled to a library: {reason}"
    reason: str


def unsupported_op(node: Node) -> RnndslError:
    """The error for a node without a lowering."""
    return RnndslError(UnsupportedOp(node.span, node.op, str(node.type)))
