"""Values whose axes have letters, as in the products that a block of time consists of."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.compiler.builder import Builder

AXES = "ijklmn"  # letters of a state's axes; t and s are time, b counts blocks of a level
EXTRA = "efgh"  # letters of axes that a query has beside them


@dataclass(frozen=True, slots=True)
class Part:
    """A value [L, *axes], and the letters of its axes without time."""

    value: int
    letters: str


def times(builder: Builder, part: Part, letters: str, by: int, op: str = "mul") -> Part:
    """A part times a value [L, *letters]; the letters are some of the part's."""
    shape = builder.type_of(part.value).shape
    lead = len(shape) - len(part.letters)
    places = [lead + part.letters.index(x) for x in letters]
    order = sorted(range(len(places)), key=lambda k: places[k])
    if order != list(range(len(places))):
        by = builder.op("transpose", by, perm=(*range(lead), *(lead + k for k in order)))
    if lead + len(places) < len(shape):
        axes = (*range(lead), *sorted(places))
        by = builder.op("broadcast", by, shape=shape, axes=axes)
    return Part(builder.op(op, part.value, by), part.letters)
