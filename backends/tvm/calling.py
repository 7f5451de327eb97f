"""Calling a compiled kernel on NumPy arrays; neither the compiler nor TVM is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnndsl.backends.tvm.signature import Array, Signature

_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """``outputs`` [T, B, *shape], ``states`` [B, *shape] after the sequence, and shared
    ``totals`` [*shape]."""

    outputs: dict[str, Array]
    states: dict[str, Array]
    totals: dict[str, Array]


def aligned(shape: tuple[int, ...], dtype: str) -> Array:
    """Uninitialised memory that starts at a cache line: fastest, though not required."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def pack_weights(signature: Signature, params: Mapping[str, Any]) -> dict[str, Array]:
    """The weights of a kernel by argument name, in its layouts; KeyError if one is missing."""
    packed = {}
    for weight in signature.weights:
        array = aligned(weight.shape, signature.dtype)
        array[...] = weight.pack(np.asarray(params[weight.source]), signature.dtype)
        packed[weight.name] = array
    return packed


def call(
    function: Callable[..., object],
    signature: Signature,
    inputs: Mapping[str, Any],
    states: Mapping[str, Any],
    weights: Mapping[str, Array],
) -> SequenceResult:
    """Run a kernel over a sequence.

    ``inputs`` [T, B, *shape], ``states`` [B, *shape] (kept as they are; the result has new
    arrays), ``weights`` from :func:`pack_weights`.
    """
    dtype = signature.dtype
    # Read-only arrays cannot be handed over, so they are copied.
    given = [np.require(inputs[s.name], dtype, ["C", "W"]) for s in signature.inputs]
    carried = {s.name: np.array(states[s.name], dtype, order="C") for s in signature.states}
    steps, batch = given[0].shape[:2] if given else (1, len(next(iter(carried.values()))))
    outputs = {s.name: aligned((steps, batch, *s.shape), dtype) for s in signature.outputs}
    totals = {s.name: aligned(s.shape, dtype) for s in signature.totals}
    workspace = aligned((signature.workspace.elements(steps, batch),), dtype)
    function(
        *given,
        *(weights[w.name] for w in signature.weights),
        *carried.values(),
        *outputs.values(),
        *totals.values(),
        workspace,
    )
    return SequenceResult(outputs, carried, totals)
