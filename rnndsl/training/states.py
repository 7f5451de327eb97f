"""Recurrent states of any form: a tensor, or nested tuples of tensors.

Every tensor is [layers, B, *shape].  Nothing here knows what a state means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from torch import Tensor

State: TypeAlias = "Tensor | tuple[State, ...] | None"  # None: the initial state


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """``state`` with ``function`` applied to every tensor."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state)
    return tuple(map_state(function, part) for part in state)


def state_tensors(state: State) -> Iterator[Tensor]:
    """Every tensor of ``state``, in order."""
    if isinstance(state, Tensor):
        yield state
    elif state is not None:
        for part in state:
            yield from state_tensors(part)


def detach_state(state: State) -> State:
    """``state`` cut off from its history: where truncated backpropagation stops."""
    return map_state(lambda tensor: tensor.detach(), state)


def select_examples(state: State, start: int, stop: int) -> State:
    """The states of examples ``start`` to ``stop`` of the batch."""
    return map_state(lambda tensor: tensor[:, start:stop].contiguous(), state)


def state_is_finite(state: State) -> bool:
    """Whether no value of ``state`` is infinite or not a number."""
    return all(bool(tensor.isfinite().all()) for tensor in state_tensors(state))
