"""Picking tensors out of a tuple by position.

A call has tensors in tuples whose order never changes, and looking up their names takes as long
as the arithmetic of a small cell.  So names are resolved once, and a call only picks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

Pick = Callable[[Sequence[Any]], tuple[Any, ...]]


def pick(places: Sequence[int]) -> Pick:
    """A function of a sequence that returns what stands at these places."""
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        (place,) = places
        return lambda values: (values[place],)
    return lambda values: ()
