"""Kernels made, or taken from those that an earlier process left on disk."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnndsl.backends.tvm.ahead import Begun
from rnndsl.backends.tvm.kernel_key import cache_folder, kernel_key
from rnndsl.backends.tvm.kernel_store import KernelStore
from rnndsl.backends.tvm.options import Options, Passed
from rnndsl.backends.tvm.signature import ITEM_BYTES, Signature
from rnndsl.backends.tvm.toolchain import (
    DTYPES,
    check_dtype,
    compile_kernels,
    compile_modules,
    has_linker,
    link_kernels,
    machine_of,
    require_tvm,
)
from rnndsl.backends.tvm.worker import Worker, has_openmp, worker_of
from rnndsl.compiler.plan import Plan
from rnndsl.diagnostics import RnndslError
from rnndsl.kept import collecting_later
from rnndsl.processors import usable_processors

if TYPE_CHECKING:
    from rnndsl.backends.tvm.lower_kernel import Kernel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a caller chooses of a kernel; see :class:`Options`."""

    packed_weights: bool
    passing: Passed
    shared: bool = False


Made = tuple[Signature, Callable[..., Any]]
# Nodes of a graph from which on the functions of a kernel are compiled in several modules: each
# takes LLVM some time of its own.
_MANY_NODES = 100


def table_choices(packed_weights: bool) -> Choices:
    """Of a kernel for all threads that there may be; without a linker there is but one."""
    return Choices(packed_weights, Passed.TABLE, has_openmp() and has_linker())


def make_kernel(plan: Plan, dtype: str, choices: Choices, target: str = "native") -> Made:
    """The signature and the function of a plan over a bound graph."""
    if target == "native":
        return begin_kernel(plan, dtype, choices)()
    _check(dtype, choices)
    return _in_memory(plan, dtype, choices, target)


def begin_kernel(plan: Plan, dtype: str, choices: Choices) -> Callable[[], Made]:
    """The same for this machine, as a function that waits for it.

    Kernels are looked up on disk, and kept there, unless the user said no or there is no linker.
    TVM's compiler is loaded only where there is something to compile.  What takes Python is done
    on return: what follows is LLVM's and the linker's, which run beside other Python threads.
    """
    _check(dtype, choices)
    folder = cache_folder()
    store = None if folder is None else KernelStore(folder)
    key = kernel_key(plan, dtype, (choices.packed_weights, choices.passing.value, choices.shared))
    made = None if store is None else _on_disk(store, key, choices)
    if made is None and (not has_linker() or (store is None and not choices.shared)):
        made = _in_memory(plan, dtype, choices)
    if made is not None:
        found = made
        return lambda: found
    with collecting_later():
        kernel = _lowered(plan, dtype, choices, "native", len(plan.graph.nodes) >= _MANY_NODES)
        kernel = kernel.without_entry() if choices.passing is Passed.TABLE else kernel

    def finish() -> Made:
        try:
            return _linked(kernel, choices, store, key)
        except (RnndslError, OSError) as error:
            _log.warning("kernels stay in memory: %s", error)
            return _in_memory(plan, dtype, choices)

    return Begun(finish)


def _check(dtype: str, choices: Choices) -> None:
    check_dtype(dtype, DTYPES if choices.passing is Passed.TENSORS else ITEM_BYTES)


def _on_disk(store: KernelStore, key: str, choices: Choices) -> Made | None:
    entry = store.find(key)
    if entry is None:
        return None
    try:
        signature = Signature.from_json(entry.about["signature"])
        return signature, _loaded(entry.library, signature, choices)
    except (OSError, RuntimeError, AttributeError, KeyError, TypeError) as error:
        store.drop(key, str(error))
        return None


def _linked(kernel: Kernel, choices: Choices, store: KernelStore | None, key: str) -> Made:
    """A kernel in a library, which is kept if there is a store."""
    signature = kernel.signature
    with collecting_later(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        objects = _objects(kernel, Path(folder))
        write = partial(link_kernels, objects)
        about = {"signature": signature.to_json()}
        kept = store.keep(key, about, write) if store is not None else None
        if kept is not None:
            return signature, _loaded(kept.library, signature, choices)
        library = Path(folder, "kernel.so")
        write(library)
        return signature, _loaded(library, signature, choices)


def _objects(kernel: Kernel, folder: Path) -> list[Path]:
    """The object files of a kernel, in a folder."""
    from rnndsl.backends.tvm.modules import in_modules

    return compile_modules(in_modules(kernel.functions, usable_processors()), folder)


def _loaded(library: Path, signature: Signature, choices: Choices) -> Callable[..., Any]:
    if choices.passing is Passed.TABLE:
        return worker_of(library, signature, choices.shared)
    # The kernels need this small package alone.
    import tvm_ffi

    found: Callable[..., Any] = tvm_ffi.load_module(str(library)).get_function(signature.symbol)
    return found


def _in_memory(plan: Plan, dtype: str, choices: Choices, target: str = "native") -> Made:
    alone = Choices(choices.packed_weights, choices.passing)
    with collecting_later():
        kernel = _lowered(plan, dtype, alone, target)
        function = compile_kernels([kernel], target)[kernel.signature.symbol]
    if choices.passing is Passed.TABLE:
        return kernel.signature, Worker(function)
    return kernel.signature, function


def _lowered(
    plan: Plan, dtype: str, choices: Choices, target: str, in_modules: bool = False
) -> Kernel:
    """A plan as TVM's functions."""
    require_tvm()
    from rnndsl.backends.tvm.lower_kernel import lower

    packed, passing = choices.packed_weights, choices.passing
    options = Options(machine_of(target), packed, passing, choices.shared, in_modules)
    return lower(plan, dtype, options=options)
