"""Exceptions of a layer: user errors that are also of the built-in kind one would catch."""

from __future__ import annotations

from rnndsl.backends import errors_torch as catalogue
from rnndsl.diagnostics import RnndslError
from rnndsl.source import Source


class LayerInputError(RnndslError, ValueError):
    """A tensor that a layer is called on does not fit: shape, dtype, device or count."""


class SecondDerivativeError(RnndslError, NotImplementedError):
    """Someone differentiates the backward pass of a layer."""

    def __init__(self) -> None:
        super().__init__(catalogue.NoSecondDerivative(None))


class TransformError(RnndslError, NotImplementedError):
    """A layer is called, or differentiated, under a transform that it does not support."""

    def __init__(self, what: str) -> None:
        super().__init__(catalogue.NoTransform(None, what))


class NonFiniteError(RnndslError, ArithmeticError):
    """A value of the cell became NaN or infinite.

    ``step`` counts from 0; ``value`` is its name in the cell, or the op where it has none.
    """

    def __init__(self, found: catalogue.NonFinite, sources: tuple[Source, ...] = ()) -> None:
        super().__init__(found, sources)
        self.step = found.step
        self.value = found.value
