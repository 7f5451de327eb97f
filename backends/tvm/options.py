"""How kernels are made: choices that change their speed, never their values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rnndsl.backends.tvm.machine import USUAL, Machine


class Passed(Enum):
    """How a kernel takes its arguments.

    Addresses are not checked.  In a TABLE they and the lengths lie in memory, for the threads
    that run the kernel together.
    """

    TENSORS = "tensors"
    ADDRESSES = "addresses"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Options:
    """The table of choices.

    ``packed_weights``: the caller packs weights, once for many calls; otherwise the kernel
    does, in each call, so that it takes parameters as they are.  ``passing``: how arrays are
    passed.  ``shared``: several threads may run the kernel together; it takes a TABLE then.
    ``in_modules``: its functions may be compiled in modules of their own (see modules.py).
    The others: whether the pass of that name runs.
    """

    machine: Machine = USUAL
    packed_weights: bool = True
    passing: Passed = Passed.TENSORS
    shared: bool = False
    in_modules: bool = False
    spread_products: bool = True
    cut_lanes: bool = True
    absorb: bool = True
