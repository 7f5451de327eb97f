"""Tensors that belong to whom they are given to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Tensors = Sequence[Tensor]


def own(results: Tensors, given: Tensors) -> list[Tensor]:
    """Contiguous results that share no memory with each other or with what was given.

    An operator must not return aliases; a view would also keep a whole stream alive.
    """
    taken = {tensor.untyped_storage().data_ptr() for tensor in given}
    owned = []
    for tensor in results:
        storage = tensor.untyped_storage()
        is_view = storage.nbytes() != tensor.numel() * tensor.element_size()
        if is_view or storage.data_ptr() in taken or not tensor.is_contiguous():
            tensor = fresh(tensor)
            storage = tensor.untyped_storage()
        taken.add(storage.data_ptr())
        owned.append(tensor)
    return owned


def apart(results: Tensors) -> list[Tensor]:
    """Contiguous results of new memory, each of which is given to one place."""
    if len(set(map(id, results))) == len(results):
        return list(results)
    seen: set[int] = set()
    owned = []
    for tensor in results:
        owned.append(fresh(tensor) if id(tensor) in seen else tensor)
        seen.add(id(tensor))
    return owned


def fresh(tensor: Tensor) -> Tensor:
    """A contiguous copy."""
    return tensor.clone(memory_format=torch.contiguous_format)
