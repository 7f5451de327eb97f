"""TVM itself: whether it is there, the target compiled for, and the linker."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnndsl.backends.errors_tvm import (
    LinkerMissing,
    LinkFailed,
    TvmMissing,
    UnknownDtype,
    UnknownTarget,
)
from rnndsl.backends.tvm.ahead import side_by_side
from rnndsl.backends.tvm.machine import Machine, machine_with
from rnndsl.diagnostics import RnndslError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from rnndsl.backends.tvm.lower_kernel import Kernel

DTYPES = ("float32", "float64")
# How much LLVM optimises: loops are written as they are to run, and more than this takes an eighth
# longer and gains nothing.
_LEVEL = 1
# LLVM's loop strength reduction takes a seventh of the time, and makes loops no faster where an
# instruction takes an address of a base and an index, as on these processors.  Where a debugger
# would find each variable at each instruction, nobody asks: it takes a tenth of the time of writing
# code, and is left out of functions with more blocks and variables than these limits.
_OPTIONS = [
    "-disable-lsr:bool=true",
    "-livedebugvalues-input-bb-limit:uint=0",
    "-livedebugvalues-input-dbg-value-limit:uint=0",
]
_X86 = ("x86_64", "AMD64")
# What TVM tells debuggers is three quarters of a library, and names nothing of a cell.  Modules
# find each other's functions when they are linked, not when they are called.  Kernels need nothing
# of the compiler's own libraries here: to look into these is most of the linker's time.
_LINKED = ["-Wl,-S"]
_LIBRARIES = ["-lm"]
if platform.system() == "Linux" and platform.machine() in _X86:
    _LINKED += ["-Wl,-Bsymbolic", "-nostdlib"]
    _LIBRARIES += ["-lc"]
# More than any object file has.
_MOST_BYTES = 1 << 23
_log = logging.getLogger(__name__)
_LINKERS = ("g++", "gcc", "cc", "clang++", "clang")


def require_tvm() -> Any:
    """The tvm module; RnndslError (E0501) says how to install it where it does not load."""
    try:
        import tvm
    except (ImportError, OSError, AttributeError) as error:
        raise RnndslError(TvmMissing(None, str(error))) from error
    return tvm


def check_dtype(dtype: str, known: Collection[str] = DTYPES) -> None:
    """RnndslError (E0507) unless ``dtype`` is one of those known, by default for libraries."""
    if dtype not in known:
        raise RnndslError(UnknownDtype(None, dtype))


def resolve_target(target: str) -> str:
    """The processor name behind ``native``; any other name stays.  RnndslError (E0506)."""
    tvm = require_tvm()
    codegen = tvm.target.codegen
    name = codegen.llvm_get_system_cpu() if target == "native" else target
    # LLVM takes an unknown name for the oldest processor of the family, silently.
    known = codegen.llvm_get_cpu_archlist(tvm.target.Target({"kind": "llvm"}))
    if name not in map(str, known):
        raise RnndslError(UnknownTarget(None, target))
    return str(name)


def machine_of(target: str = "native") -> Machine:
    """What kernels for a target are tuned to.  RnndslError (E0506)."""
    tvm = require_tvm()
    found = tvm.target.Target({"kind": "llvm", "mcpu": resolve_target(target)})
    features = tvm.target.codegen.llvm_get_cpu_features(found)
    return machine_with(frozenset(map(str, features)))


def compile_kernels(kernels: Iterable[Kernel], target: str = "native") -> Any:
    """A TVM executable with one function for each kernel, by its symbol."""
    functions = {name: body for kernel in kernels for name, body in kernel.functions.items()}
    return _compiled(functions, target)


def _compiled(functions: Mapping[Any, Any], target: str = "native") -> Any:
    """A TVM executable of these functions."""
    tvm = require_tvm()
    from rnndsl.backends.tvm import pipeline

    def made(options: Mapping[str, object]) -> Any:
        wanted = {"kind": "llvm", "mcpu": resolve_target(target), "opt-level": _LEVEL}
        machine = tvm.target.Target({**wanted, **options})
        return tvm.compile(tvm.IRModule(dict(functions)), machine, tir_pipeline=pipeline.register())

    if platform.machine() not in _X86:
        return made({})
    try:
        return made({"cl-opt": _OPTIONS})
    except (RuntimeError, ValueError) as error:
        # Options belong to the whole process: TVM refuses where another thread that compiles
        # takes them back at that moment.
        _log.debug("compiled again without options: %s", error)
        return made({})


def find_linker() -> str:
    """A C compiler that links; RnndslError (E0503) if there is none.

    The environment variable ``CC`` goes first, then the usual names.
    """
    wanted = [name for name in (os.environ.get("CC", ""), *_LINKERS) if name]
    for name in wanted:
        found = shutil.which(name)
        if found:
            return found
    raise RnndslError(LinkerMissing(None, ", ".join(wanted)))


def has_linker() -> bool:
    """Whether there is a C compiler that links."""
    try:
        find_linker()
    except RnndslError:
        return False
    return True


def compile_modules(modules: Sequence[Mapping[Any, Any]], folder: Path) -> list[Path]:
    """Object files of the modules of a kernel for this machine; RnndslError (E0504)."""

    def compiled(number: int) -> Path:
        path = folder / f"{number}.o"
        try:
            module = _compiled(modules[number]).mod
            _make_sure_of_room(folder)
            module.write_to_file(str(path))
        except (RuntimeError, OSError, ValueError) as error:
            raise _link_failed(error) from error
        return path

    return side_by_side(compiled, range(len(modules)))


def _make_sure_of_room(folder: Path) -> None:
    """OSError where no file as large as an object file can be written: LLVM would end the
    process."""
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, _MOST_BYTES)
        else:
            file.write(bytes(_MOST_BYTES))


def link_kernels(objects: Sequence[Path], path: Path) -> None:
    """Write kernels for this process and later ones; RnndslError (E0503, E0504)."""
    from tvm.support import cc

    try:
        parts = [*map(str, objects), *_LIBRARIES]
        cc.create_shared(str(path), parts, _LINKED, cc=find_linker())
    except (RuntimeError, OSError, ValueError) as error:
        raise _link_failed(error) from error


def link_library(executable: Any, path: Path) -> None:
    """Write an executable as a shared library; RnndslError (E0503, E0504)."""
    from tvm.support import cc

    linker = find_linker()

    def link(output: str, objects: list[str], options: Any = None, **_: Any) -> None:
        # Functions such as exp come from the C library for mathematics.
        cc.create_shared(output, objects, ["-lm"], cc=linker)

    link.output_format = "so"  # type: ignore[attr-defined]
    try:
        executable.export_library(str(path), fcompile=link)
    except (RuntimeError, OSError, ValueError) as error:
        raise _link_failed(error) from error


def _link_failed(error: Exception) -> RnndslError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return RnndslError(LinkFailed(None, lines[-1]))
