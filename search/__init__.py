"""Looking for cells: spaces of them, searchers, studies and reports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnndsl.search.recipes import import_recipe as import_recipe

_HOMES = {"import_recipe": "rnndsl.search.recipes"}

__all__ = ["import_recipe"]

if not TYPE_CHECKING:  # so that checkers flag a misspelt name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'rnndsl.search' has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
