"""How kernels are made: choices that change their speed, never their values."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.backends.tvm.machine import USUAL, Machine


@dataclass(frozen=True, slots=True)
class Options:
    """The table of choices.

    ``packed_weights``: the caller packs weights, once for many calls; otherwise the kernel
    does, in each call, so that it takes parameters as they are.  ``addresses``: arrays are passed
    as their addresses, unchecked.  The others: whether the pass of that name runs.
    """

    machine: Machine = USUAL
    packed_weights: bool = True
    addresses: bool = False
    spread_products: bool = True
    cut_lanes: bool = True
    absorb: bool = True
