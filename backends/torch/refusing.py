"""Arrays that a kernel is not for are refused: it is given their addresses, which tell nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.diagnostics import Diagnostic


def refuse_others(
    arrays: Sequence[Tensor],
    shapes: Sequence[tuple[int, ...]],
    dtype: torch.dtype,
    names: Sequence[str],
) -> None:
    """LayerInputError names the first array that is not in main memory, or is of another type or
    shape."""
    here = False not in [array.is_cpu for array in arrays]
    if here and [a.shape for a in arrays] == shapes and {a.dtype for a in arrays} == {dtype}:
        return
    for array, shape, name in zip(arrays, shapes, names, strict=True):
        found = _problem(array, shape, dtype, name)
        if found is not None:
            raise LayerInputError(found)


def _problem(
    array: Tensor, shape: tuple[int, ...], dtype: torch.dtype, name: str
) -> Diagnostic | None:
    """What is wrong with an array."""
    if not array.is_cpu:
        return catalogue.WrongDevice(None, name, "cpu", str(array.device))
    if array.dtype != dtype:
        return catalogue.WrongDtype(None, name, str(dtype), str(array.dtype))
    layout = f"[{', '.join(map(str, shape))}]"
    if array.dim() != len(shape):
        return catalogue.WrongRank(None, name, str(len(shape)), array.dim(), layout)
    for axis, (size, got) in enumerate(zip(shape, array.shape, strict=True)):
        if size != got:
            return catalogue.WrongSize(None, name, f"axis {axis}", size, got, layout)
    return None
