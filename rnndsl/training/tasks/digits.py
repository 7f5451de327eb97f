"""Drawn digits, read pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rnndsl.training.tasks.task import Examples, Task

SIDE = 8  # pixels

# Each digit as one stroke through points of a box one unit wide and two high.
STROKES: dict[int, list[tuple[float, float]]] = {
    0: [(0.5, 0), (1, 0.4), (1, 1.6), (0.5, 2), (0, 1.6), (0, 0.4), (0.5, 0)],
    1: [(0.1, 0.5), (0.6, 0), (0.6, 2)],
    2: [(0, 0.4), (0.5, 0), (1, 0.4), (0.9, 0.9), (0, 2), (1, 2)],
    3: [(0, 0.2), (0.6, 0), (1, 0.5), (0.4, 0.95), (1, 1.4), (0.6, 2), (0, 1.8)],
    4: [(0.7, 2), (0.7, 0), (0, 1.3), (1, 1.3)],
    5: [(1, 0), (0.1, 0), (0, 0.9), (0.7, 0.8), (1, 1.3), (0.7, 2), (0, 1.9)],
    6: [(0.9, 0), (0.2, 0.7), (0, 1.5), (0.5, 2), (1, 1.5), (0.5, 1.1), (0, 1.5)],
    7: [(0, 0), (1, 0), (0.4, 2)],
    8: [(0.5, 0.95), (0.1, 0.5), (0.5, 0), (0.9, 0.5), (0, 1.5), (0.5, 2), (1, 1.5), (0.5, 0.95)],
    9: [(1, 0.6), (0.5, 0.9), (0, 0.5), (0.5, 0), (1, 0.6), (0.8, 2)],
}
_LONGEST = max(map(len, STROKES.values()))


def _padded(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return points + [points[-1]] * (_LONGEST - len(points))


_POINTS = np.array([_padded(STROKES[digit]) for digit in range(10)])  # [10, P, 2]


def draw_digits(generator: np.random.Generator, batch: int) -> Examples:
    """Digits drawn by a shaky hand on 8 by 8 pixels, row by row; at the end, which it was.

    Each is slanted, turned, stretched, shifted and its points moved a little.
    """
    digits = generator.integers(10, size=batch)
    images = draw_images(generator, digits)
    return Examples(images.T[..., None].astype(np.float32), digits[None])


def draw_images(generator: np.random.Generator, digits: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels [B, 64] between 0 and 1, some noise added."""
    batch = len(digits)
    points = _POINTS[digits] - [0.5, 1.0]
    points = points + 0.07 * generator.standard_normal(points.shape)
    angle = 0.15 * generator.standard_normal(batch)
    slant = 0.15 * generator.standard_normal(batch)
    turn = np.stack([np.cos(angle), slant - np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    size = generator.uniform(2.2, 3.0, (batch, 1, 2)) * [1.1, 1.0]
    centre = 3.5 + 0.4 * generator.standard_normal((batch, 1, 2))
    points = np.einsum("bij,bpj->bpi", turn.reshape(batch, 2, 2), points) * size + centre
    start, way = points[:, None, :-1], np.diff(points, axis=1)[:, None]  # [B, 1, P, 2]
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    places = np.stack([column, row], -1)[None, :, None]
    along = ((places - start) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-9)
    nearest = start + along.clip(0, 1)[..., None] * way
    distance = ((places - nearest) ** 2).sum(-1).min(-1)
    noise = 0.05 * generator.standard_normal(distance.shape)
    pixels: NDArray[np.float64] = np.exp(-distance / 0.35) + noise
    return pixels.clip(0, 1)


DIGITS = Task(
    name="digits",
    summary="name a drawn digit after reading its 64 pixels one by one",
    kind="classes",
    inputs=1,
    outputs=10,
    length=SIDE * SIDE,
    guess=math.log2(10),
    draw=draw_digits,
)
