"""Extremely randomised trees (Geurts et al. 2006) in NumPy, for a few hundred examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes in arrays; ``feature`` is -1 at a leaf, whose value is ``value``."""

    feature: NDArray[np.int64]
    threshold: Array
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: Array

    def predict(self, inputs: Array) -> Array:
        """[N] values of [N, features]."""
        node = np.zeros(len(inputs), dtype=np.int64)
        while True:
            feature = self.feature[node]
            inner = feature >= 0
            if not inner.any():
                return self.value[node]
            goes_left = inputs[np.arange(len(inputs)), feature] <= self.threshold[node]
            step = np.where(goes_left, self.left[node], self.right[node])
            node = np.where(inner, step, node)


def grow_forest(
    inputs: Array,
    targets: Array,
    generator: np.random.Generator,
    trees: int = 100,
    leaf: int = 2,
    share: float = 0.33,
) -> tuple[Tree, ...]:
    """Trees on all of [N, features] and [N]; ``share`` of the features are tried at a node.

    ``leaf`` is the least number of examples in one.
    """
    return tuple(_grow(inputs, targets, generator, leaf, share) for _ in range(trees))


def predict_forest(trees: tuple[Tree, ...], inputs: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over the trees, [N] each."""
    values = np.stack([tree.predict(inputs) for tree in trees])
    return values.mean(axis=0), values.std(axis=0)


def _grow(
    inputs: Array, targets: Array, generator: np.random.Generator, leaf: int, share: float
) -> Tree:
    feature: list[int] = []
    threshold: list[float] = []
    children: list[list[int]] = []
    value: list[float] = []

    def add(rows: NDArray[np.int64]) -> int:
        index = len(feature)
        feature.append(-1)
        threshold.append(0.0)
        children.append([0, 0])
        value.append(float(targets[rows].mean()))
        return index

    pending = [(add(np.arange(len(inputs))), np.arange(len(inputs)))]
    while pending:
        index, rows = pending.pop()
        found = _split(inputs[rows], targets[rows], generator, leaf, share)
        if found is None:
            continue
        feature[index], threshold[index] = found
        mask = inputs[rows, feature[index]] <= threshold[index]
        for side, part in enumerate((rows[mask], rows[~mask])):
            children[index][side] = add(part)
            pending.append((children[index][side], part))
    sides = np.array(children, dtype=np.int64)
    return Tree(np.array(feature), np.array(threshold), sides[:, 0], sides[:, 1], np.array(value))


def _split(
    inputs: Array, targets: Array, generator: np.random.Generator, leaf: int, share: float
) -> tuple[int, float] | None:
    """The best of one random threshold for each of some random features."""
    count = len(inputs)
    if count < 2 * leaf or np.ptp(targets) == 0:
        return None
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    varied = np.flatnonzero(high > low)
    if not len(varied):
        return None
    tried = generator.permutation(varied)[: max(1, round(share * len(low)))]
    cuts = low[tried] + generator.random(len(tried)) * (high[tried] - low[tried])
    mask = inputs[:, tried] <= cuts
    left = mask.sum(axis=0)
    right = count - left
    total = targets.sum()
    sums = targets @ mask
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = sums**2 / left + (total - sums) ** 2 / right
    gain[(left < leaf) | (right < leaf)] = -np.inf
    best = int(gain.argmax())
    return None if not np.isfinite(gain[best]) else (int(tried[best]), float(cuts[best]))
