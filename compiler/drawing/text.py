"""Labels of a drawing: runs of text in a few styles, and how wide they will be."""

from __future__ import annotations

import re
from dataclasses import dataclass

# How a run is set: an operator (upright), the name of a value (italic), a subscript of a
# name, or a small plain word.
OP, NAME, SUB, WORD = "op", "name", "sub", "word"


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text in one style."""

    text: str
    style: str


Label = tuple[Run, ...]

# Font sizes in the drawing's units, by style.
SIZES = {OP: 15.0, NAME: 15.0, SUB: 10.5, WORD: 10.5}

# Widths in em of the usual serif and sans-serif faces, a little on the generous side: the
# reader's fonts are not known, and a label must not leave its box.
_NARROW, _WIDE = "iljtfrI.,:;|!'′()[] -", "mwMW@%—"


def width(label: Label) -> float:
    """About how wide a label is, in the drawing's units."""
    return sum(SIZES[run.style] * sum(map(_em, run.text)) for run in label)


def _em(character: str) -> float:
    if character in _NARROW:
        return 0.34
    if character in _WIDE:
        return 0.88
    return 0.66 if character.isupper() else 0.54


def name(text: str) -> Label:
    """The name of a value, as mathematics is set: ``h'`` as h′, ``y.0`` and ``y0`` as y₀."""
    text = text.replace("'", "′")
    match = re.fullmatch(r"(.*?[^\W\d_]′?)[._]?((?:\d+\.)*\d+)(′?)", text)
    if match is None:
        return (Run(text, NAME),)
    stem, index, prime = match.groups()
    prefix = (Run(stem + prime, NAME),)
    return (*prefix, Run(index.replace(".", ","), SUB))


def op(text: str) -> Label:
    return (Run(text, OP),)


def word(text: str) -> Label:
    return (Run(text, WORD),)


def plain(label: Label) -> str:
    """The label without its styles."""
    return "".join(run.text for run in label)


def number(value: float) -> str:
    """A constant, short and with a real minus sign."""
    text = re.sub(r"e([+-])0*(\d+)", r"e\1\2", f"{value:.4g}").replace("e+", "e")
    return text.replace("-", "−").replace("inf", "∞")
