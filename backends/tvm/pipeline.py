"""TVM's passes for our kernels: those that the CPU needs, and none that rewrites arithmetic.

TVM's own pipeline simplifies expressions of floats as if they were exact, so that
``(x + c) - c`` becomes ``x``; and it puts the meaning of a name in place of each use, so that
a chain of functions grows without bound.  LLVM simplifies what is left, within the rules of
floating point.  Arrays have one index from the beginning (buffers.py), and nothing runs on another
device: the passes for these, which take as long as the others together, are left out.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import tvm
from tvm import tirx

from rnndsl.backends.tvm.lower_names import EXPORTED

NAME = "rnndsl"


@tvm.transform.module_pass(opt_level=0)  # type: ignore[untyped-decorator]
def _export(module: Any, context: Any) -> Any:
    """Show functions to the outside that MakePackedAPI should leave as they are."""
    for variable, function in list(module.functions.items()):
        if function.attrs and EXPORTED in function.attrs:
            symbol = function.attrs[EXPORTED]
            module.update_func(variable, function.with_attr("global_symbol", symbol))
    return module


def _pipeline() -> tuple[Any, Any, Any]:
    transform = tirx.transform
    passes = tvm.transform.Sequential(
        [
            transform.VectorizeLoop(True),
            transform.UnrollLoop(),
            transform.VerifyMemory(),
            transform.AnnotateEntryFunc(),
            transform.MakePackedAPI(),
            _export,
        ]
    )
    # The last makes passes for devices other than the CPU, of which we have none.
    return passes, tirx.compilation_pipeline.finalize_host_passes, tvm.transform.Sequential


@cache
def register() -> str:
    """Make the pipeline known to TVM; its name."""
    tirx.register_tir_pipeline(NAME, _pipeline)
    return NAME
