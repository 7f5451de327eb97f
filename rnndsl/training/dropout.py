"""Dropout of whole rows, of one mask for all time, and of single values.

Masks come from a generator of their own, so that a run can be resumed and repeated no matter
what else draws random numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Inverted dropout of [T, B, D]: one mask [1, B, D] for all T when locked (Gal 2016)."""

    def __init__(self, rate: float, locked: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.rate, self.locked, self.generator = rate, locked, generator

    def locked_mask(self, like: Tensor, *shape: int) -> Tensor | None:
        """The mask for all T of sequences [T, *shape]; None if there is no one mask for them."""
        if not (self.training and self.locked and self.rate):
            return None
        return _mask((1, *shape), self.rate, self.generator, like)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``x`` with values dropped, by ``mask`` if that is given."""
        if not self.training or self.rate == 0.0:
            return x
        if mask is None:
            shape = (1, *x.shape[1:]) if self.locked else tuple(x.shape)
            mask = _mask(shape, self.rate, self.generator, x)
        return x * mask

    def extra_repr(self) -> str:
        return f"{self.rate}{', locked' if self.locked else ''}"


def row_mask(weight: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """A mask [V, 1] that drops whole rows of ``weight`` [V, E]: embedding dropout (Merity et
    al. 2017)."""
    return _mask((weight.shape[0], 1), rate, generator, weight)


def _mask(shape: tuple[int, ...], rate: float, generator: torch.Generator, like: Tensor) -> Tensor:
    """0 with probability ``rate``, else 1 / (1 - rate); drawn on the CPU for every device."""
    kept = torch.rand(shape, generator=generator, dtype=torch.float64) >= rate
    return kept.to(device=like.device, dtype=like.dtype) / (1.0 - rate)
