"""The device, its memory and the threads of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rnndsl.training.errors import BadSetting, OutOfMemory, training_error

# What torch says when the CPU's memory is used up; it has no exception of its own for that.
_NO_MEMORY = ("not enough memory", "can't allocate memory", "cannot allocate memory")


def check_device(name: str) -> None:
    """RnndslError (E0707) unless tensors can be made on ``name``."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        wanted = f"a device that torch can use here ({str(error).splitlines()[0]})"
        raise training_error(BadSetting(name="device", value=name, wanted=wanted)) from None


@contextmanager
def memory_errors(device: str) -> Iterator[None]:
    """Turn what torch raises when memory is used up into RnndslError (E0719)."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not full and not any(phrase in text for phrase in _NO_MEMORY):
            raise
        reason = text.splitlines()[0][:200] if text else ""
        raise training_error(OutOfMemory(device=device, reason=reason)) from None


@contextmanager
def thread_count(count: int | None) -> Iterator[None]:
    """Let torch use ``count`` threads, and afterwards as many as before."""
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
