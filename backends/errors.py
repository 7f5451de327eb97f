"""The exception for sizes and options that do not fit a cell, whoever compiles it."""

from __future__ import annotations

from rnndsl.diagnostics import RnndslError


class LayerOptionError(RnndslError, ValueError):
    """An argument of ``layer()``, ``from_torch()`` or ``compile_cell()`` does not fit the cell."""
