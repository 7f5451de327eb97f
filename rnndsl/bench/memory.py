"""Memory of one call: its peak, whoever allocates it, and what is held for its gradients."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MEASURED = (
    "growth of the process's resident memory during one call, from before it to its peak; "
    "what a library keeps from earlier calls is not seen"
)
_STATUS, _REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_growth(run: Callable[[], Any]) -> int | None:
    """Bytes by which resident memory grows at most during a call; None where unknown.

    Linux counts in pages and in batches of pages, so differences below about 0.5 MB say
    little.
    """
    gc.collect()
    try:
        return_free_memory()
        _REFS.write_text("5")  # sets the peak to the present
        before = _status("VmRSS")
        result = run()
        peak = _status("VmHWM")
    except OSError:
        return None
    del result
    return max(0, peak - before)


def peak_of_process() -> int:
    """Bytes of the most memory that this process had resident since it began, or since the
    last call of :func:`peak_growth`; OSError where the system does not tell."""
    return _status("VmHWM")


def held_bytes(layer: Any, x: Tensor) -> int:
    """What autograd holds between the passes of ``layer(x)``, without input, output and
    parameters."""
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y, _ = layer(x)
    for tensor in (x, y, *layer.parameters()):
        found.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(found.values())


def return_free_memory() -> None:
    """What malloc keeps would be used again without growth."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(key: str) -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise OSError(f"no {key} in {_STATUS}")
