"""What is measured: a cell at some sizes, run in one of three ways."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rnndsl.diagnostics import RnndslError
from rnndsl.errors_bench import BadShape

# How a cell is run, and what one call does.
MODES = {
    "infer": "a whole sequence, without gradients",
    "train": "a whole sequence, and the gradients of its input and its parameters",
    "stream": "one call for each time step, with the states carried on; the time is that of a step",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a measurement: T, B, D, H."""

    steps: int
    batch: int
    input: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.steps},{self.batch},{self.input},{self.hidden}"


DEFAULT_SHAPES = (Shape(35, 20, 200, 200), Shape(100, 1, 128, 128))


def parse_shape(text: str) -> Shape:
    """``35,20,200,200`` as a shape; RnndslError (E0901) for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(re.fullmatch(r"0*[1-9][0-9]{0,8}", part) for part in parts):
        raise RnndslError(BadShape(None, text))
    return Shape(*map(int, parts))


def parse_shapes(texts: Sequence[str]) -> tuple[Shape, ...]:
    """Each shape once, in order; the default ones if there are none."""
    return tuple(dict.fromkeys(map(parse_shape, texts))) or DEFAULT_SHAPES
