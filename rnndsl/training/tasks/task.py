"""What a generated task is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float32]
Integers = NDArray[np.int64]
Draw = Callable[[np.random.Generator, int], "Examples"]


@dataclass(frozen=True, slots=True)
class Examples:
    """Sequences side by side, and what is to be said of them at the steps that count.

    ``inputs`` are [T, B, D]; ``targets`` are classes [S, B] or values [S, B, K], one for each
    of the last S steps: before those no answer is asked for.
    """

    inputs: Reals
    targets: Integers | Reals


@dataclass(frozen=True, slots=True)
class Task:
    """Examples without end; the answer of each is known.

    With ``classes`` the loss is the cross entropy in bits per answer; with ``values`` the
    mean square error relative to the variance of the targets.  ``guess`` is the loss of the
    best answer that does not look at the input.
    """

    name: str
    summary: str
    kind: Literal["classes", "values"]
    inputs: int  # D
    outputs: int  # classes, or K
    length: int  # T
    guess: float
    draw: Draw
    scale: float = 1.0  # of the square error: one over the variance of the targets
    version: int = 1  # rises when the examples change

    @property
    def unit(self) -> str:
        return "bits" if self.kind == "classes" else "rel. error"
