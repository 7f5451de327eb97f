"""Kernels made, or taken from those that an earlier process left on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rnndsl.backends.tvm.kernel_key import cache_folder, kernel_key
from rnndsl.backends.tvm.kernel_store import Entry, KernelStore
from rnndsl.backends.tvm.options import Options
from rnndsl.backends.tvm.signature import Signature
from rnndsl.backends.tvm.toolchain import (
    check_dtype,
    compile_kernels,
    has_linker,
    link_kernels,
    machine_of,
    require_tvm,
)
from rnndsl.compiler.plan import Plan
from rnndsl.diagnostics import RnndslError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a caller chooses of a kernel; see :class:`Options`."""

    packed_weights: bool
    addresses: bool


Made = tuple[Signature, Callable[..., Any]]


def make_kernel(plan: Plan, dtype: str, choices: Choices, target: str = "native") -> Made:
    """The signature and the function of a plan over a bound graph.

    Kernels for this machine are looked up on disk, and kept there, unless the user said no or
    there is no linker.  TVM's compiler is loaded only where there is something to compile.
    """
    check_dtype(dtype)
    folder = cache_folder() if target == "native" else None
    if folder is None:
        return _in_memory(plan, dtype, choices, target)
    store = KernelStore(folder)
    key = kernel_key(plan, dtype, (choices.packed_weights, choices.addresses))
    entry = store.find(key)
    if entry is not None:
        try:
            return _loaded(entry)
        except (OSError, RuntimeError, AttributeError, KeyError, TypeError) as error:
            store.drop(key, str(error))
    signature, executable = _compiled(plan, dtype, choices, target)
    if has_linker():
        try:
            write = partial(link_kernels, executable)
            entry = store.keep(key, {"signature": signature.to_json()}, write)
            if entry is not None:
                return _loaded(entry)
        except RnndslError as error:
            _log.warning("kernels cannot be kept: %s", error)
    return signature, executable[signature.symbol]


def _in_memory(plan: Plan, dtype: str, choices: Choices, target: str) -> Made:
    signature, executable = _compiled(plan, dtype, choices, target)
    return signature, executable[signature.symbol]


def _compiled(plan: Plan, dtype: str, choices: Choices, target: str) -> tuple[Signature, Any]:
    """The signature, and TVM's executable."""
    require_tvm()
    from rnndsl.backends.tvm.lower_kernel import lower

    options = Options(machine_of(target), choices.packed_weights, choices.addresses)
    kernel = lower(plan, dtype, options=options)
    return kernel.signature, compile_kernels([kernel], target)


def _loaded(entry: Entry) -> Made:
    # The kernels need this small package alone.
    import tvm_ffi

    signature = Signature.from_json(entry.about["signature"])
    return signature, tvm_ffi.load_module(str(entry.library)).get_function(signature.symbol)
