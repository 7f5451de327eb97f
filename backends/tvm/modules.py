"""The functions of a kernel in modules that are compiled side by side.

Most of the time of making a kernel is LLVM's, which works on one module at a time, on one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm import tirx

from rnndsl.backends.tvm.llvm_text import with_llvm
from rnndsl.backends.tvm.lower_names import ALONE, CALLED

Functions = Mapping[Any, tirx.PrimFunc]
# Functions of a module at least: one without any costs LLVM as much time as a few of them.
_LEAST = 25


def in_modules(functions: Functions, most: int) -> list[Functions]:
    """The functions of a kernel (see :class:`Outline`) in at most ``most`` modules.

    The first has the kernel itself and what LLVM leaves alone wherever it is: everything, if the
    kernel was made for one module.  Calls from one module to another stay calls.
    """
    parts = [name for name, f in functions.items() if _attr(f, ALONE) is False]
    first = [name for name in functions if name not in set(parts)]
    groups = [first, *([] for _ in range(min(most, len(functions) // _LEAST) - 1))]
    # Functions that follow each other are alike: they go to different modules by turns.
    for name in parts:
        min(groups, key=len).append(name)
    return [_importing({name: functions[name] for name in group}) for group in groups if group]


def _importing(module: dict[Any, tirx.PrimFunc]) -> Functions:
    """A module with the texts that its functions call."""
    found = {str(text) for f in module.values() for text in _attr(f, CALLED) or ()}
    name, function = next(iter(module.items()))
    body = function.body
    for text in sorted(found):
        body = with_llvm(text, body)
    return {**module, name: function.with_body(body)}


def _attr(function: tirx.PrimFunc, key: str) -> Any:
    attrs = function.attrs
    return attrs[key] if attrs and key in attrs else None
