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

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        shape = (1, *x.shape[1:]) if self.locked else tuple(x.shape)
        return x * _mask(shape, self.rate, self.generator, x)

    def extra_repr(self) -> str:
        return f"{self.rate}{', locked' if self.locked else ''}"


def drop_rows(weight: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """``weight`` [V, E] with whole rows dropped: embedding dropout (Merity et al. 2017)."""
    return weight * _mask((weight.shape[0], 1), rate, generator, weight)


def _mask(shape: tuple[int, ...], rate: float, generator: torch.Generator, like: Tensor) -> Tensor:
    """0 with probability ``rate``, else 1 / (1 - rate); drawn on the CPU for every device."""
    kept = torch.rand(shape, generator=generator, dtype=torch.float64) >= rate
    return kept.to(device=like.device, dtype=like.dtype) / (1.0 - rate)
