"""Tensors that belong to whom they are given to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Tensors = Sequence[Tensor]


def own(results: Tensors, given: Tensors, divided: Tensors = ()) -> list[Tensor]:
    """Contiguous results that share no memory with each other or with what was given.

    An operator must not return aliases; a view would also keep a whole stream alive.  Results
    may be parts of the memory of ``divided``, which is no one else's; no two overlap.
    """
    taken = {tensor.untyped_storage().data_ptr() for tensor in given}
    parts = {tensor.untyped_storage().data_ptr(): list[range]() for tensor in divided}
    owned = []
    for tensor in results:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), tensor.numel() * tensor.element_size()
        if place in parts and tensor.is_contiguous():
            start = tensor.data_ptr()
            lone = all(start >= part.stop or start + size <= part.start for part in parts[place])
            if lone and place not in taken:
                parts[place].append(range(start, start + size))
                owned.append(tensor)
                continue
        is_view = storage.nbytes() != size
        if is_view or place in taken or place in parts or not tensor.is_contiguous():
            tensor = fresh(tensor)
            place = tensor.untyped_storage().data_ptr()
        taken.add(place)
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


def lies_otherwise(tensor: Tensor) -> bool:
    """Whether memory does not hold a tensor's numbers: the imaginary part of a conjugate lies there
    with the other sign, and some zeros do not at all."""
    return tensor.is_neg() or tensor._is_zerotensor()


def as_it_lies(tensor: Tensor) -> Tensor:
    """The tensor, or a copy where its numbers do not lie in memory in order and as they are."""
    return fresh(tensor) if lies_otherwise(tensor) else tensor.contiguous()


def fresh(tensor: Tensor) -> Tensor:
    """A contiguous copy."""
    return tensor.clone(memory_format=torch.contiguous_format)
