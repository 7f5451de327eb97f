"""What is made for the type of a tensor's numbers, on first use or before it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import torch
from torch import Tensor

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.processors import usable_processors

T = TypeVar("T")
# Types of tensors by their names for kernels.
DTYPES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}
_making = Lock()


class ByDtype(Generic[T]):
    """What there is for tensors like a given one.

    ``begin`` takes the name of their dtype for kernels, begins with what is made for it, and returns
    a function that ends that and returns it.
    """

    def __init__(self, begin: Callable[[str], Callable[[], T]]) -> None:
        self._begin = begin
        self._begun: dict[torch.dtype, Callable[[], T]] = {}
        self._made: dict[torch.dtype, T] = {}

    def begin(self, like: Tensor) -> None:
        """Begin, if other threads can go on with it; LayerInputError as for a call."""
        if like.dtype in self._made or like.dtype in self._begun or usable_processors() < 2:
            return
        _check(like)
        with _making:
            if like.dtype not in self._made and like.dtype not in self._begun:
                self._begun[like.dtype] = self._begin(DTYPES[like.dtype])

    def __call__(self, like: Tensor) -> T:
        """LayerInputError where nothing is made for such a tensor."""
        if not like.is_cpu or like.dtype not in self._made:
            _check(like)
            with _making:  # threads that call a layer for the first time wait for one of them
                if like.dtype not in self._made:
                    begun = self._begun.pop(like.dtype, None) or self._begin(DTYPES[like.dtype])
                    self._made[like.dtype] = begun()
        return self._made[like.dtype]


def _check(like: Tensor) -> None:
    """LayerInputError where there are no kernels for such a stream."""
    if not like.is_cpu:
        raise LayerInputError(
            catalogue.WrongDevice(None, "a stream for TVM", "cpu", str(like.device))
        )
    if like.dtype not in DTYPES:
        expected = "float32, float64, bfloat16 or float16"
        raise LayerInputError(
            catalogue.WrongDtype(None, "a stream for TVM", expected, str(like.dtype))
        )
