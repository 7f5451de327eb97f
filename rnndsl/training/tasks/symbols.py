"""Tasks of symbols: copy memory, parity; and of marked numbers: adding."""

from __future__ import annotations

import math

import numpy as np

from rnndsl.training.tasks.task import Examples, Task

SYMBOLS, SPAN, DELAY = 8, 8, 24
PARITY_LENGTH = 24
ADDING_LENGTH = 50


def draw_copy(generator: np.random.Generator, batch: int) -> Examples:
    """Symbols, a delay, a mark; then the symbols are to be said in their order.

    After Hochreiter & Schmidhuber 1997 and Arjovsky, Shah & Bengio 2016.  Inputs are one-hot:
    the symbols, the blank, the mark.  Only the answers count.
    """
    symbols = generator.integers(SYMBOLS, size=(SPAN, batch))
    written = np.full((SPAN + DELAY + SPAN, batch), SYMBOLS)
    written[:SPAN] = symbols
    written[SPAN + DELAY - 1] = SYMBOLS + 1
    return Examples(np.eye(SYMBOLS + 2, dtype=np.float32)[written], symbols)


def draw_parity(generator: np.random.Generator, batch: int) -> Examples:
    """Bits; at each step, whether the number of ones so far is odd."""
    bits = generator.integers(2, size=(PARITY_LENGTH, batch))
    return Examples((2 * bits - 1)[..., None].astype(np.float32), np.cumsum(bits, axis=0) % 2)


def draw_adding(generator: np.random.Generator, batch: int) -> Examples:
    """Numbers between 0 and 1, two of them marked; at the end, the sum of those two.

    After Hochreiter & Schmidhuber 1997: one mark in each half.
    """
    half = ADDING_LENGTH // 2
    numbers = generator.random((ADDING_LENGTH, batch))
    marks = np.zeros((ADDING_LENGTH, batch))
    places = generator.integers(half, size=(2, batch)) + np.array([[0], [half]])
    marks[places, np.arange(batch)] = 1.0
    inputs = np.stack([numbers, marks], axis=-1).astype(np.float32)
    return Examples(inputs, (numbers * marks).sum(0)[None, :, None].astype(np.float32))


COPY = Task(
    name="copy",
    summary=f"repeat {SPAN} symbols after a delay of {DELAY} steps",
    kind="classes",
    inputs=SYMBOLS + 2,
    outputs=SYMBOLS,
    length=SPAN + DELAY + SPAN,
    guess=math.log2(SYMBOLS),
    draw=draw_copy,
)
PARITY = Task(
    name="parity",
    summary=f"say after each of {PARITY_LENGTH} bits whether the ones so far are odd in number",
    kind="classes",
    inputs=1,
    outputs=2,
    length=PARITY_LENGTH,
    guess=1.0,
    draw=draw_parity,
)
ADDING = Task(
    name="adding",
    summary=f"add the two marked ones of {ADDING_LENGTH} numbers",
    kind="values",
    inputs=2,
    outputs=1,
    length=ADDING_LENGTH,
    guess=1.0,
    draw=draw_adding,
    scale=6.0,  # the sum of two uniform numbers has variance 1/6
)
