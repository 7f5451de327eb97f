"""Names of TVM's types, which say what an argument is meant to be: TVM ships no types."""

from __future__ import annotations

from typing import Any

Expr = Any
Stmt = Any
Extent = Any  # an int, or an expression for the lengths known only at run time
