"""rnndsl: recurrent cells written as equations, then compiled, trained and searched."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rnndsl import search as search
    from rnndsl.backends.torch import from_torch as from_torch
    from rnndsl.backends.torch import gradcheck as gradcheck
    from rnndsl.backends.torch import layer as layer
    from rnndsl.backends.tvm import compile_cell as compile_cell
    from rnndsl.cell import Cell as Cell
    from rnndsl.cell import list_cells as list_cells
    from rnndsl.cell import load as load
    from rnndsl.cell import parse as parse
    from rnndsl.diagnostics import RnndslError as RnndslError

# Where each public name lives.  They load on first use, so that `import rnndsl` stays light.
_HOMES = {
    "Cell": "rnndsl.cell",
    "RnndslError": "rnndsl.diagnostics",
    "compile_cell": "rnndsl.backends.tvm",
    "from_torch": "rnndsl.backends.torch",
    "gradcheck": "rnndsl.backends.torch",
    "layer": "rnndsl.backends.torch",
    "list_cells": "rnndsl.cell",
    "load": "rnndsl.cell",
    "parse": "rnndsl.cell",
}

__all__ = [
    "Cell",
    "RnndslError",
    "__version__",
    "compile_cell",
    "from_torch",
    "gradcheck",
    "layer",
    "list_cells",
    "load",
    "parse",
    "search",
]

if not TYPE_CHECKING:  # so that checkers flag a misspelt name

    def __getattr__(name: str) -> Any:
        if name == "search":
            return import_module("rnndsl.search")
        if name not in _HOMES:
            raise AttributeError(f"module 'rnndsl' has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
